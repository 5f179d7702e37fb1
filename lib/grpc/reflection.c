/*
 * grpc.reflection.v1 and v1alpha, which have the same messages under two names. Owns nothing but
 * its services; descriptors are the table of descriptors.h, services those of the server. Made by
 * whoever serves.
 */
#include "lib/grpc/reflection.h"

#include "grpc/reflection/v1/reflection.pb-c.h"
#include "lib/base/alloc.h"
#include "lib/grpc/descriptors.h"

#define REFLECTION_MAGIC 0x6772726cu
#define MAX_REQUEST ((size_t)16 * 1024)

/* The names that protoc-c makes are longer than a line. */
#define QUESTION(name) GRPC__REFLECTION__V1__SERVER_REFLECTION_REQUEST__MESSAGE_REQUEST_##name
#define ANSWER(name) GRPC__REFLECTION__V1__SERVER_REFLECTION_RESPONSE__MESSAGE_RESPONSE_##name

/* Owned by its maker, who closes the server first. */
struct grpc_reflection {
	struct obj_head obj;
	struct grpc_server *server;
	struct grpc_service v1, v1alpha;
};

static struct grpc_reflection *reflection_cast(void *arg)
{
	return OBJ_CAST(struct grpc_reflection, REFLECTION_MAGIC, arg);
}

/* --- answers --- */

static void send_error(struct grpc_call *c, Grpc__Reflection__V1__ServerReflectionResponse *r,
	enum grpc_status status, const char *text)
{
	Grpc__Reflection__V1__ErrorResponse error = GRPC__REFLECTION__V1__ERROR_RESPONSE__INIT;

	error.error_code = (int32_t)status;
	error.error_message = (char *)(uintptr_t)text;
	r->message_response_case = ANSWER(ERROR_RESPONSE);
	r->error_response = &error;
	grpc_call_send(c, &r->base);
}

/* The file and all that it imports: clients need them anyway. */
static void send_file(struct grpc_call *c, Grpc__Reflection__V1__ServerReflectionResponse *r,
	const struct grpc_descriptor *file)
{
	Grpc__Reflection__V1__FileDescriptorResponse files =
		GRPC__REFLECTION__V1__FILE_DESCRIPTOR_RESPONSE__INIT;

	if (file == NULL) {
		send_error(c, r, GRPC_NOT_FOUND, "not found");
		return;
	}
	ProtobufCBinaryData *list = mem_alloc_array(file->n_needs, sizeof(list[0]));

	for (size_t i = 0; i < file->n_needs; i++) {
		const struct grpc_descriptor *d = &grpc_descriptors[file->needs[i]];

		list[i] = (ProtobufCBinaryData){d->n, (uint8_t *)(uintptr_t)d->bytes};
	}
	files.n_file_descriptor_proto = file->n_needs;
	files.file_descriptor_proto = list;
	r->message_response_case = ANSWER(FILE_DESCRIPTOR_RESPONSE);
	r->file_descriptor_response = &files;
	grpc_call_send(c, &r->base);
	mem_free(list);
}

static void send_services(struct grpc_call *c, Grpc__Reflection__V1__ServerReflectionResponse *r,
	const struct grpc_server *s)
{
	Grpc__Reflection__V1__ListServiceResponse services =
		GRPC__REFLECTION__V1__LIST_SERVICE_RESPONSE__INIT;
	const struct grpc_service *const *known;
	size_t n = grpc_server_services(s, &known);
	Grpc__Reflection__V1__ServiceResponse *list = mem_alloc_array(n, sizeof(list[0]));
	Grpc__Reflection__V1__ServiceResponse **pointers = mem_alloc_array(n, sizeof(pointers[0]));

	for (size_t i = 0; i < n; i++) {
		grpc__reflection__v1__service_response__init(&list[i]);
		list[i].name = (char *)(uintptr_t)known[i]->name;
		pointers[i] = &list[i];
	}
	services.n_service = n;
	services.service = pointers;
	r->message_response_case = ANSWER(LIST_SERVICES_RESPONSE);
	r->list_services_response = &services;
	grpc_call_send(c, &r->base);
	mem_free(pointers);
	mem_free(list);
}

/* --- questions --- */

static const struct grpc_descriptor *file_by_name(struct str name)
{
	for (size_t i = 0; i < grpc_n_descriptors; i++) {
		if (str_eq(str_from(grpc_descriptors[i].name), name))
			return &grpc_descriptors[i];
	}
	return NULL;
}

static const struct grpc_descriptor *file_with_symbol(struct str symbol)
{
	if (str_starts(symbol, STR(".")))
		symbol = str_sub(symbol, 1, symbol.n);
	for (size_t i = 0; i < grpc_n_descriptors; i++) {
		const struct grpc_descriptor *d = &grpc_descriptors[i];

		for (size_t k = 0; k < d->n_symbols; k++) {
			if (str_eq(str_from(d->symbols[k]), symbol))
				return d;
		}
	}
	return NULL;
}

static void answer(struct grpc_reflection *f, struct grpc_call *c,
	Grpc__Reflection__V1__ServerReflectionRequest *q)
{
	Grpc__Reflection__V1__ServerReflectionResponse r =
		GRPC__REFLECTION__V1__SERVER_REFLECTION_RESPONSE__INIT;

	r.valid_host = q->host;
	r.original_request = q;
	switch ((int)q->message_request_case) {
	case QUESTION(FILE_BY_FILENAME):
		send_file(c, &r, file_by_name(str_from(q->file_by_filename)));
		break;
	case QUESTION(FILE_CONTAINING_SYMBOL):
		send_file(c, &r, file_with_symbol(str_from(q->file_containing_symbol)));
		break;
	case QUESTION(LIST_SERVICES):
		send_services(c, &r, f->server);
		break;
	case QUESTION(FILE_CONTAINING_EXTENSION):
	case QUESTION(ALL_EXTENSION_NUMBERS_OF_TYPE):
		send_error(c, &r, GRPC_NOT_FOUND, "there are no extensions");
		break;
	default:
		send_error(c, &r, GRPC_INVALID_ARGUMENT, "no question");
	}
}

/* --- the method --- */

static void on_message(void *arg, struct grpc_call *c, struct str bytes)
{
	Grpc__Reflection__V1__ServerReflectionRequest *q =
		(Grpc__Reflection__V1__ServerReflectionRequest *)
			grpc_unpack(&grpc__reflection__v1__server_reflection_request__descriptor,
				bytes);

	if (q == NULL) {
		grpc_call_finish(c, GRPC_INTERNAL, "malformed request");
		return;
	}
	answer(reflection_cast(arg), c, q);
	grpc__reflection__v1__server_reflection_request__free_unpacked(q, NULL);
}

static void on_half_close(void *arg, struct grpc_call *c)
{
	(void)arg;
	grpc_call_finish(c, GRPC_OK, NULL);
}

static void on_end(void *arg, struct grpc_call *c, const struct grpc_end *end)
{
	(void)arg;
	(void)c;
	(void)end;
}

static const struct grpc_call_events events = {
	.on_message = on_message,
	.on_half_close = on_half_close,
	.on_end = on_end,
};

static void start_info(void *arg, struct grpc_call *c)
{
	grpc_call_set_user(c, &events, reflection_cast(arg));
}

static const struct grpc_method methods[] = {
	{.name = "ServerReflectionInfo",
		.start = start_info,
		.client_streams = true,
		.server_streams = true,
		.max_message = MAX_REQUEST},
};

/* --- life --- */

struct grpc_reflection *grpc_reflection_new(struct grpc_server *s)
{
	struct grpc_reflection *f = MEM_NEW(struct grpc_reflection);

	f->obj.magic = REFLECTION_MAGIC;
	f->server = s;
	f->v1 = (struct grpc_service){.name = "grpc.reflection.v1.ServerReflection",
		.methods = methods,
		.n_methods = 1,
		.arg = f};
	f->v1alpha = f->v1;
	f->v1alpha.name = "grpc.reflection.v1alpha.ServerReflection";
	grpc_server_add(s, &f->v1);
	grpc_server_add(s, &f->v1alpha);
	return f;
}

void grpc_reflection_free(struct grpc_reflection **reflection)
{
	struct grpc_reflection *f = *reflection;

	if (f == NULL)
		return;
	*reflection = NULL;
	f->obj.magic = 0;
	mem_free(f);
}
