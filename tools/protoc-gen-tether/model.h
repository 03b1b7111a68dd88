/* model.h: the services of a file with every name, comment and option worked out, ready to be written. */
#ifndef TTH_MODEL_H
#define TTH_MODEL_H

#include <stdint.h>

#include "diag.h"
#include "options.h"
#include "request.h"

/* What passes between the two ends: one message each way, or any number of them. */
enum tth_shape { TTH_UNARY, TTH_CLIENT_STREAMING, TTH_SERVER_STREAMING, TTH_BIDI_STREAMING };
bool tth_shape_streams_requests(enum tth_shape shape);
bool tth_shape_streams_replies(enum tth_shape shape);

/* A message as protoc-c names it. */
struct tth_message {
  const char *type;       /* Demo__V1__HelloRequest */
  const char *descriptor; /* demo__v1__hello_request__descriptor */
};

struct tth_method {
  const char *name;    /* demo.v1.Greeter.SayHello */
  const char *path;    /* /demo.v1.Greeter/SayHello */
  const char *member;  /* say_hello; with _ behind where C reserves it */
  const char *prefix;  /* demo_v1_greeter_say_hello */
  const char *client;  /* demo_v1_greeter_client_say_hello */
  const char *comment; /* as in the .proto, "" if none */
  struct tth_message request;
  struct tth_message reply;
  enum tth_shape shape;
  struct tth_method_options options;
  struct tth_position position;
};

struct tth_service {
  const char *name;   /* demo.v1.Greeter */
  const char *prefix; /* demo_v1_greeter */
  const char *comment;
  struct tth_method *methods;
  size_t method_count;
  struct tth_position position;
};

/* A file whose descriptor the generated source contains. */
struct tth_embedded {
  const char *name;   /* a/b.proto */
  const char *symbol; /* a_2fb_2eproto */
  struct tth_raw descriptor;
};

struct tth_file {
  const char *name;              /* a/b.proto */
  const char *stem;              /* a/b */
  struct tth_embedded *embedded; /* the file itself, then everything it imports (embed.h) */
  size_t embedded_count;
  bool has_messages; /* protoc-c writes a/b.pb-c.h */
  struct tth_service *services;
  size_t service_count;
};

/* Works out one file to generate. Problems go to `diag`; the model is then incomplete and must not be written. */
void tth_model_build(struct tth_arena *arena, const struct tth_request *request,
                     const Google__Protobuf__FileDescriptorProto *file, struct tth_diag *diag, struct tth_file *model);

#endif
