/* tether/reflection.h: libtether-reflection, server reflection as gRPC has it (grpc.reflection.v1): a client can ask
 * what a server serves, and for the .proto files that define it, in the form in which protoc describes them.
 *
 *   tether_reflection *reflection;
 *   if (tether_reflection_new(server, &reflection) != TETHER_OK) ...       before the first listen
 *   ...
 *   tether_server_close(server);
 *   tether_reflection_free(reflection);                                    after the server
 *
 * Everything that the server serves is shown, whenever it was added. The descriptors are in the sources that
 * protoc-gen-tether writes (tether_method.file). Requests are answered on the I/O thread, in order. */
#ifndef TETHER_REFLECTION_H
#define TETHER_REFLECTION_H

#include <tether/rpc.h>

#ifdef __cplusplus
extern "C" {
#endif

typedef struct tether_reflection tether_reflection;

/* Adds the service to `server`, before its first listen. The object must be freed after the server is closed.
 * Errors as tether_server_add; TETHER_RESOURCE_EXHAUSTED: no memory. */
TETHER_API TETHER_MUST_USE tether_code tether_reflection_new(tether_server *server, tether_reflection **reflection);

/* Takes NULL. */
TETHER_API void tether_reflection_free(tether_reflection *reflection);

/* Shows a file, and its imports, that no method served is from: one that defines extensions, say. `file` is static. Any
 * thread, before the first call of the service begins.
 * TETHER_FAILED_PRECONDITION: later than that. TETHER_RESOURCE_EXHAUSTED: no memory, nothing was added. */
TETHER_API TETHER_MUST_USE tether_code tether_reflection_add(tether_reflection *reflection, const tether_file *file);

#ifdef __cplusplus
}
#endif
#endif
