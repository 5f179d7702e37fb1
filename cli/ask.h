/*
 * What the commands share that ask a control plane or a sidecar: the request, the answer as a tree,
 * and errors in words. Owns an answer until ask_end.
 */
#ifndef WEFT_CLI_ASK_H
#define WEFT_CLI_ASK_H

#include "cli/command.h"
#include "cli/fetch.h"
#include "lib/yaml/yaml.h"

/* On the command's stack; ask_end in any case. */
struct asked {
	struct arena arena;
	struct fetch_answer raw;
	const struct yaml_node *json; /* the whole answer, a map */
};

/* True: a good answer. Else the reason was said on stderr: what the server says is wrong with the
 * question, or why there is no answer. */
bool ask(const struct conf_program *prog, const struct fetch *f, struct asked *out);
/* The answer as it came, for -o json. */
void ask_print(const struct asked *a);
void ask_end(struct asked *a);

/* Members of a map; empty, 0 and false where they are not there or something else. */
struct str ask_str(const struct yaml_node *map, const char *key);
uint64_t ask_u64(const struct yaml_node *map, const char *key);
bool ask_bool(const struct yaml_node *map, const char *key);
/* First child of a list or map; NULL where there is none. */
const struct yaml_node *ask_first(const struct yaml_node *map, const char *key);
/* Children of a list or map. */
size_t ask_count(const struct yaml_node *map, const char *key);
/* "3m12s" since a time in RFC 3339; the text itself where it is none. In the arena. */
struct str ask_age(struct arena *a, struct str time);

/* A word NAMESPACE/NAME; else says so and gives false. */
bool ask_is_pod(const struct conf_program *prog, const char *word, int *code);

/* Flags that several of these commands have. */
#define ASK_CONTROL_SOCKET(PARAM)                                                \
	PARAM(control_socket, STRING, "control-socket", "WEFT_CTRLPLANE_SOCKET", \
		"/run/weft-ctrlplane.sock", 1, 100, "FILE",                      \
		"Control socket of weft-ctrlplane, which its user alone may use.")
#define ASK_CONTROL_PLANE(PARAM)                                              \
	PARAM(control_plane, STRING, "control-plane", "WEFT_CTRLPLANE_ADMIN", \
		"http://127.0.0.1:15014", 1, 300, "URL",                      \
		"Admin endpoint of weft-ctrlplane; it answers on its own machine alone.")
#define ASK_OUTPUT(PARAM)                                                \
	PARAM(output, CHOICE, "output", NULL, "text", 0, 0, "text|json", \
		"Format of the answer; -o is short for it.")
enum ask_format { ASK_TEXT, ASK_JSON };

#endif
