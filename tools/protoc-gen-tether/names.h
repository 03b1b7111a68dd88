/* names.h: how names of a .proto become names in C: protoc-c's, and ours.
 *
 *   .proto                          demo.v1.Greeter.SayHello     acme.shopV2.HTTPRequest_Info.Inner
 *   protoc-c, types                 Demo__V1__Greeter__SayHello  Acme__ShopV2__HTTPRequestInfo__Inner
 *   protoc-c, functions, variables  demo__v1__greeter__say_hello acme__shop_v2__httprequest__info__inner
 *   ours                            demo_v1_greeter_say_hello    acme_shop_v2_http_request_info_inner
 *
 * Ours never have two underscores in a row, so they never meet protoc-c's. */
#ifndef TTH_NAMES_H
#define TTH_NAMES_H

#include <stdbool.h>

#include "arena.h"

/* protoc-c's names of a dotted name (c_package already applied). */
char *tth_name_pbc_type(struct tth_arena *arena, const char *dotted);
char *tth_name_pbc_lower(struct tth_arena *arena, const char *dotted);

/* Our name of a dotted name. May come out empty or with a digit in front, from "_" and "_1". */
char *tth_name_snake(struct tth_arena *arena, const char *dotted);

/* Whether a converted name is a keyword of C11 or a macro that may be in sight (bool, linux). */
bool tth_name_is_reserved(const char *name);

/* Whether `name` is an identifier of the .proto language and of C; a sequence of them with dots between. */
bool tth_name_is_identifier(const char *name);
bool tth_name_is_dotted(const char *name);

/* "a/b.proto" without its suffix. */
char *tth_name_strip_proto(struct tth_arena *arena, const char *file);

/* What stands for a file name in identifiers, such as its include guard: other characters than letters and digits
 * become _ and their hex code. */
char *tth_name_file(struct tth_arena *arena, const char *file);

#endif
