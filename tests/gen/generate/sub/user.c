#include "a/service.tether.h"
#include "user.tether.h"

const tether_method *methods[] = {&a_service_get_method, &user_user_get_method};
