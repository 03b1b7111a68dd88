/* modules/reflection/answer.h: one request of ServerReflectionInfo -> its response. */
#ifndef MODULES_REFLECTION_ANSWER_H
#define MODULES_REFLECTION_ANSWER_H

#include "grpc/reflection/v1/reflection.tether.h"
#include "modules/reflection/index.h"

/* The memory that the responses of one stream are made in, one after the other. */
typedef struct tth_answer {
  const tether_server *server;
  const tth_reflection_index *index;
  size_t *queue;   /* files to send: room for all */
  bool *is_queued; /* for each file */
  ProtobufCBinaryData *bytes;
  int32_t *numbers;
  size_t service_count;
  Grpc__Reflection__V1__ServiceResponse *services, **service_list;
  char error_text[320];

  Grpc__Reflection__V1__ServerReflectionResponse response;
  Grpc__Reflection__V1__FileDescriptorResponse files;
  Grpc__Reflection__V1__ExtensionNumberResponse extensions;
  Grpc__Reflection__V1__ListServiceResponse list;
  Grpc__Reflection__V1__ErrorResponse error;
} tth_answer;

/* NULL without memory; lives as long as the call. */
TETHER_MUST_USE tth_answer *tth_answer_new(tether_call *call, const tether_server *server,
                                           const tth_reflection_index *index);

/* The response, valid until the next one is made; it points into the request. What is wrong with a request is a
 * response too. */
const Grpc__Reflection__V1__ServerReflectionResponse *tth_answer_make(
    tth_answer *answer, const Grpc__Reflection__V1__ServerReflectionRequest *asked);

#endif
