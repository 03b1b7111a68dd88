/* rpc/identity.h: identities as links make them. */
#ifndef TETHER_RPC_IDENTITY_H
#define TETHER_RPC_IDENTITY_H

#include <tether/identity.h>

struct x509_st;

/* Of nobody. Static. */
extern const tether_identity tth_identity_none;

/* From a certificate that was found good; one allocation, to be given to free. NULL without memory. */
TETHER_MUST_USE tether_identity *tth_identity_of_certificate(struct x509_st *certificate);

#endif
