# The one build file of Weft; `make help` lists the targets.
# Sources are found by folder, so that a new file needs no edit here. What is built for one set of
# flags (a variant) is in build/VARIANT, with dependencies of its own; generated code in build/gen.

VERSION := 0.1.0
VARIANT ?= release
B := build/$(VARIANT)
PREFIX ?= /usr/local
JOBS ?= $(shell nproc)
FUZZ_SECONDS ?= 10
PYTHON := /usr/bin/python3

MAKEFLAGS += --no-builtin-rules
.SUFFIXES:
.SECONDARY:
.DELETE_ON_ERROR:
.DEFAULT_GOAL := all

# --- variants ---

CLANG := clang-19
ifneq ($(filter default undefined,$(origin CC)),)
CC := gcc
endif
ifneq ($(filter clang fuzz,$(VARIANT)),)
override CC := $(CLANG)
endif

hardened := -O2 -fno-plt -fstack-protector-strong -U_FORTIFY_SOURCE -D_FORTIFY_SOURCE=2 \
	-ffunction-sections -fdata-sections
hardened_ld := -Wl,--gc-sections -Wl,-z,relro,-z,now
sanitize := -O1 -fno-omit-frame-pointer -fno-sanitize-recover=all

opt_release := $(hardened)
ld_release := $(hardened_ld)
opt_clang := $(hardened)
ld_clang := $(hardened_ld)
opt_asan := $(sanitize) -fsanitize=address,undefined
opt_tsan := $(sanitize) -fsanitize=thread
opt_fuzz := $(sanitize) -fsanitize=fuzzer-no-link,address,undefined
ifeq ($(opt_$(VARIANT)),)
$(error unknown VARIANT=$(VARIANT): release, clang, asan, tsan or fuzz)
endif

# On x86 the baseline is x86-64-v2 (every processor since 2011): GCM and header parsing use it.
march := $(if $(filter x86_64,$(shell uname -m)),-march=x86-64-v2)
# What the third-party libraries are built with too.
BASE_CFLAGS := -std=gnu11 -g -pthread -fPIE $(march) $(opt_$(VARIANT)) $(CFLAGS)
WARNINGS := -Wall -Wextra -Wshadow -Wstrict-prototypes -Wmissing-prototypes -Wmissing-declarations \
	-Wold-style-definition -Wswitch-enum -Wpointer-arith -Wwrite-strings -Wundef -Wvla -Wformat=2 \
	-Wno-format-truncation -Werror
CPPFLAGS_ALL := -D_GNU_SOURCE= -I. -isystem build/gen -isystem $(B)/third/include \
	-DMBEDTLS_CONFIG_FILE='"lib/crypto/mbedtls_config.h"' $(CPPFLAGS)
LDFLAGS_ALL := -pthread -pie -Wl,--as-needed $(opt_$(VARIANT)) $(ld_$(VARIANT)) $(LDFLAGS)

# Static where the distribution ships an archive.
static_or_shared = $(if $(filter /%,$(shell $(CC) -print-file-name=lib$(1).a)),-l:lib$(1).a,-l$(1))
third_libs := $(addprefix $(B)/third/lib/lib,mbedtls.a mbedx509.a mbedcrypto.a nghttp2.a llhttp.a)

# --- sources ---

sources = $(shell find $(wildcard $(1)) -name template -prune -o -name '*.c' -print 2>/dev/null | sort)
objects = $(patsubst %.c,$(B)/obj/%.o,$(1))
# The room's own library: all of it but the program's main file.
room = $(filter-out $(1)/main.c,$(if $(wildcard $(1)),$(call sources,$(1))))

protos := $(shell find $(wildcard proto) -name '*.proto' 2>/dev/null | sort)
ifeq ($(wildcard proto),)
protos :=
endif
gen_c := $(protos:proto/%.proto=build/gen/%.pb-c.c)
gen_h := $(gen_c:.c=.h)
# The same files as data, for reflection.
ifneq ($(protos),)
gen_c += build/gen/descriptors.c
endif

ifneq ($(wildcard lib certs),)
weft_c := $(call sources,lib certs)
endif
sidecar_c := $(call room,sidecar)
ctrlplane_c := $(call room,ctrlplane)
injector_c := $(call room,injector)
cli_c := $(call room,cli)
support_c := $(wildcard tests/support/*.c)

libweft := $(B)/libweft.a
$(libweft): $(call objects,$(weft_c)) $(gen_c:build/gen/%.c=$(B)/gen/%.o)
$(B)/libsidecar.a: $(call objects,$(sidecar_c))
$(B)/libctrlplane.a: $(call objects,$(ctrlplane_c))
$(B)/libinjector.a: $(call objects,$(injector_c))
$(B)/libcli.a: $(call objects,$(cli_c))
$(B)/libtestsupport.a: $(call objects,$(support_c))

product_archives := $(libweft) $(if $(sidecar_c),$(B)/libsidecar.a) \
	$(if $(ctrlplane_c),$(B)/libctrlplane.a) $(if $(injector_c),$(B)/libinjector.a) \
	$(if $(cli_c),$(B)/libcli.a)
test_archives := $(if $(support_c),$(B)/libtestsupport.a) $(product_archives)

program = $(if $(wildcard $(1)/main.c),$(B)/$(2))
programs := $(call program,sidecar,weft-sidecar) $(call program,cli,weft) \
	$(call program,ctrlplane,weft-ctrlplane) $(call program,injector,weft-injector)
$(B)/weft-sidecar: $(B)/obj/sidecar/main.o
$(B)/weft: $(B)/obj/cli/main.o
$(B)/weft-ctrlplane: $(B)/obj/ctrlplane/main.o
$(B)/weft-injector: $(B)/obj/injector/main.o
program_c := $(wildcard sidecar/main.c cli/main.c ctrlplane/main.c injector/main.c)

unit_c := $(shell find $(wildcard tests/unit) /dev/null -name '*_test.c' | sort)
mem_c := $(shell find $(wildcard tests/mem) /dev/null -name '*_test.c' | sort)
fuzz_c := $(wildcard tests/fuzz/*_fuzz.c)
unit_tests := $(unit_c:%.c=$(B)/%)
mem_tests := $(mem_c:%.c=$(B)/%)
fuzzers := $(fuzz_c:%.c=$(B)/%)
# Their corpora as tests, without an engine.
replays := $(fuzz_c:%_fuzz.c=$(B)/%_replay)

our_c := $(weft_c) $(sidecar_c) $(ctrlplane_c) $(injector_c) $(cli_c) $(program_c)
all_objects := $(call objects,$(our_c) $(support_c) $(unit_c) $(mem_c) $(fuzz_c) \
	tests/fuzz/replay.c) \
	$(gen_c:build/gen/%.c=$(B)/gen/%.o)

# --- what changes with flags and with the set of files ---

# Goals that build nothing in this make, but in a sub-make at most: `make deps` may install a compiler first.
submake_goals := demo test asan asan-e2e clang fuzz bench ready
ifeq ($(filter-out help clean deps format check check-layers check-size check-banned check-format \
		$(submake_goals),$(or $(MAKECMDGOALS),all)),)
no_build := yes
endif

remember = $(file >$(1).new,$(2))$(shell cmp -s $(1).new $(1) && rm $(1).new || mv $(1).new $(1))
ifndef no_build
third_static := $(foreach lib,ev protobuf-c yaml cares,$(call static_or_shared,$(lib)))
$(shell mkdir -p $(B))
$(call remember,$(B)/flags,$(CC) $(shell $(CC) -dumpfullversion -dumpversion 2>&1) $(BASE_CFLAGS) \
	$(CPPFLAGS_ALL) $(WARNINGS) $(LDFLAGS_ALL) $(third_static))
$(call remember,$(B)/files,$(all_objects))
commit := $(shell git rev-parse --short=7 HEAD 2>/dev/null)
$(call remember,$(B)/version,$(VERSION) $(commit))
endif
LDLIBS := $(third_libs) $(third_static) -lm

# --- rules ---

ifeq ($(V),1)
Q :=
say = @:
else
Q := @
say = @printf '%-5s %s\n' $(1) $(2);
endif

all: $(programs) $(product_archives) ## build the programs (VARIANT=release, clang, asan, tsan)

tests: all $(unit_tests) $(mem_tests) $(replays) ## build the unit and memory tests too

$(B)/third.stamp: tools/deps tools/deps.lock lib/crypto/mbedtls_config.h $(B)/flags \
		$(wildcard lib/crypto/*_alt.h)
	@tools/deps --check build
	@tools/deps --libs $(B)/third --cc '$(CC)' --cflags '$(BASE_CFLAGS)'
	@touch $@

build/gen/%.pb-c.c build/gen/%.pb-c.h: proto/%.proto | $(B)/third.stamp
	@mkdir -p build/gen
	$(call say,PROTO,$<)
	$(Q)protoc-c --proto_path=proto --c_out=build/gen $*.proto 2>build/gen/log || { cat build/gen/log; exit 1; }

build/gen/descriptors.pb: $(protos) | $(B)/third.stamp
	@mkdir -p build/gen
	$(call say,PROTO,$@)
	$(Q)protoc --proto_path=proto --include_imports --descriptor_set_out=$@ $(protos:proto/%=%)

build/gen/descriptors.c: build/gen/descriptors.pb tools/gen-descriptors
	$(Q)$(PYTHON) tools/gen-descriptors $< >$@

$(B)/obj/%.o: %.c $(B)/flags $(B)/third.stamp | $(gen_h)
	@mkdir -p $(@D)
	$(call say,CC,$<)
	$(Q)$(CC) $(CPPFLAGS_ALL) $(BASE_CFLAGS) $(WARNINGS) -MD -MP -c $< -o $@

# The one file that knows the version.
$(B)/obj/lib/base/process.o: $(B)/version
$(B)/obj/lib/base/process.o: CPPFLAGS_ALL += -DWEFT_VERSION='"$(VERSION)"' \
	-DWEFT_COMMIT='"$(or $(commit),unknown)"'

$(B)/gen/%.o: build/gen/%.c $(B)/flags | $(gen_h)
	@mkdir -p $(@D)
	$(call say,CC,$<)
	$(Q)$(CC) $(CPPFLAGS_ALL) $(BASE_CFLAGS) -w -MD -MP -c $< -o $@

$(sort $(test_archives)): $(B)/files
	$(call say,AR,$@)
	$(Q)rm -f $@ && ar rcsD $@ $(filter %.o,$^)

$(programs): $(product_archives) $(B)/third.stamp
	$(call say,LINK,$@)
	$(Q)$(CC) $(filter %.o,$^) -Wl,--start-group $(product_archives) -Wl,--end-group \
		$(LDFLAGS_ALL) $(LDLIBS) -o $@

$(unit_tests) $(mem_tests): $(B)/%: $(B)/obj/%.o $(test_archives) $(B)/third.stamp
	@mkdir -p $(@D)
	$(call say,LINK,$@)
	$(Q)$(CC) $< -Wl,--start-group $(test_archives) -Wl,--end-group $(LDFLAGS_ALL) $(LDLIBS) \
		-lcmocka -o $@

$(replays): $(B)/%_replay: $(B)/obj/%_fuzz.o $(B)/obj/tests/fuzz/replay.o $(test_archives) \
		$(B)/third.stamp
	@mkdir -p $(@D)
	$(call say,LINK,$@)
	$(Q)$(CC) $(filter %.o,$^) -Wl,--start-group $(test_archives) -Wl,--end-group $(LDFLAGS_ALL) \
		$(LDLIBS) -lcmocka -o $@

$(fuzzers): $(B)/%: $(B)/obj/%.o $(test_archives) $(B)/third.stamp
	@mkdir -p $(@D)
	$(call say,LINK,$@)
	$(Q)$(CC) $< -Wl,--start-group $(test_archives) -Wl,--end-group $(LDFLAGS_ALL) $(LDLIBS) \
		-fsanitize=fuzzer -o $@

ifndef no_build
-include $(all_objects:.o=.d)
endif

# --- targets people type ---

# Sub-makes share the job slots of `make -jN`, and use every core where none was given.
submake = @+$(MAKE) --no-print-directory $(if $(findstring jobserver,$(MAKEFLAGS)),,-j$(JOBS))
run_tests := $(PYTHON) tools/run-tests --root $(B) --jobs $(JOBS) $(if $(T),--match '$(T)')

deps: ## install what the build and the tests need (the only target that installs)
	@tools/deps

ready:
	@tools/deps --check >/dev/null || tools/deps

demo: ready ## show the mesh at work on real programs (CHECK=1 ends by itself)
	$(submake) all
	@WEFT_BUILD=$(B) exec demo/run

test: ready ## unit, memory and end-to-end tests
	$(submake) tests
	$(submake) unit
	$(submake) mem
	$(submake) e2e

unit: $(unit_tests) $(replays) ## unit tests and the fuzzers' corpora (T=buf runs those whose path matches)
	@$(run_tests) $(unit_tests) $(replays)

mem: $(mem_tests) ## two sidecars in one process on a simulated loop (T= as above)
	@$(if $(mem_tests),$(run_tests) $(mem_tests),echo "no tests in tests/mem")

# All files at once, as many as there are cores; with PYTEST_ARGS one pytest, as it is.
e2e_folders := $(wildcard tests/e2e tests/interop)
e2e: all ## end-to-end and interoperability tests (PYTEST_ARGS='-k name')
	@$(if $(PYTEST_ARGS),WEFT_BUILD=$(B) $(PYTHON) -m pytest -q \
		-o cache_dir=$(abspath $(B))/pytest-cache $(PYTEST_ARGS) $(e2e_folders),WEFT_BUILD=$(B) $(PYTHON) \
		tools/run-e2e --cache $(abspath $(B))/pytest-cache --jobs $(JOBS) $(e2e_folders))

asan: ready ## unit and memory tests under ASan and UBSan
	$(submake) VARIANT=asan tests
	$(submake) VARIANT=asan unit
	$(submake) VARIANT=asan mem

asan-e2e: ready ## end-to-end tests under ASan and UBSan
	$(submake) VARIANT=asan all
	$(submake) VARIANT=asan e2e

clang: ready ## build everything with clang, warnings as errors
	$(submake) VARIANT=clang tests

fuzz: ready ## run each fuzzer for FUZZ_SECONDS (10)
	$(submake) VARIANT=fuzz fuzz-run

fuzz-run: $(fuzzers)
	@$(PYTHON) tools/run-fuzzers --root $(B) --seconds $(FUZZ_SECONDS) $(fuzzers)

check: ready ## layers, sizes, writable globals, banned calls, formatting, generated pages
	$(submake) -k check-layers check-size check-banned check-format globals check-docs

check-layers check-size check-banned check-format:
	@$(PYTHON) tools/$@

globals: $(call objects,$(our_c))
	@$(PYTHON) tools/check-globals $(B)/obj $(our_c)

check-docs: all
	@$(PYTHON) tools/gen-docs --check --build $(B)

docs: all ## write the pages of docs/ that follow from tables
	@$(PYTHON) tools/gen-docs --build $(B)

format: ready ## format every C file in place
	@$(PYTHON) tools/check-format --fix

ifneq ($(wildcard bench/run),)
bench: ready ## side-by-side benchmarks with peers
	$(submake) all
	WEFT_BUILD=$(B) bench/run
.PHONY: bench
endif

install: all ## install the programs below $(DESTDIR)$(PREFIX)
	install -d $(DESTDIR)$(PREFIX)/bin
	$(if $(programs),install -m 755 $(programs) $(DESTDIR)$(PREFIX)/bin/)

clean: ## remove build/
	rm -rf build

help: ## this list
	@sed -n 's/^\([a-z0-9-]*\):.*## \(.*\)/  \1\t\2/p' Makefile $(if $(wildcard bench/run),,| grep -v '^  bench') | \
		expand -t 14
	@echo "V=1 shows commands; see STYLE.md and ARCHITECTURE.md for the rest."

.PHONY: all tests deps ready demo test unit mem e2e asan asan-e2e clang fuzz fuzz-run check globals \
	check-layers check-size check-banned check-format check-docs docs format install clean help
