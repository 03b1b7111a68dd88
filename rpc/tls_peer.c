/* One TLS connection: what is checked, and, when it fails, what happened and what to do about it. */
#include <arpa/inet.h>
#include <openssl/err.h>
#include <openssl/ssl.h>
#include <openssl/x509v3.h>
#include <stdio.h>
#include <string.h>

#include "rpc/tls.h"

static bool is_address(const char *name) {
  uint8_t bytes[16];
  return inet_pton(AF_INET, name, bytes) == 1 || inet_pton(AF_INET6, name, bytes) == 1;
}

/* Names are looked for among the alternative names only, as RFC 9525 has it. */
static bool set_name(SSL *ssl, const char *name) {
  X509_VERIFY_PARAM *param = SSL_get0_param(ssl);
  if (is_address(name)) return X509_VERIFY_PARAM_set1_ip_asc(param, name) == 1;
  X509_VERIFY_PARAM_set_hostflags(param, X509_CHECK_FLAG_NO_PARTIAL_WILDCARDS | X509_CHECK_FLAG_NEVER_CHECK_SUBJECT);
  return X509_VERIFY_PARAM_set1_host(param, name, 0) == 1 && SSL_set_tlsext_host_name(ssl, name) == 1;
}

SSL *tth_tls_connection_new(SSL_CTX *ctx, bool client, const char *name) {
  SSL *ssl = SSL_new(ctx);
  if (!ssl) return NULL;
  if (client) {
    SSL_set_connect_state(ssl);
    if (name && !set_name(ssl, name)) {
      SSL_free(ssl);
      return NULL;
    }
  } else {
    SSL_set_accept_state(ssl);
  }
  return ssl;
}

bool tth_tls_verified(SSL *ssl) {
  return SSL_get0_peer_certificate(ssl) && SSL_get_verify_mode(ssl) != SSL_VERIFY_NONE &&
         SSL_get_verify_result(ssl) == X509_V_OK;
}

static bool is_name_mismatch(long result) {
  return result == X509_V_ERR_HOSTNAME_MISMATCH || result == X509_V_ERR_IP_ADDRESS_MISMATCH;
}

/* What to do about a certificate that was not found good. */
static const char *advice(long result) {
  switch (result) {
    case X509_V_ERR_CERT_HAS_EXPIRED:
      return "renew it there, or look at this host's clock";
    case X509_V_ERR_CERT_NOT_YET_VALID:
      return "look at the clocks of both hosts";
    case X509_V_ERR_DEPTH_ZERO_SELF_SIGNED_CERT:
    case X509_V_ERR_SELF_SIGNED_CERT_IN_CHAIN:
    case X509_V_ERR_UNABLE_TO_GET_ISSUER_CERT:
    case X509_V_ERR_UNABLE_TO_GET_ISSUER_CERT_LOCALLY:
    case X509_V_ERR_UNABLE_TO_VERIFY_LEAF_SIGNATURE:
    case X509_V_ERR_CERT_SIGNATURE_FAILURE:
      return "who signed it is not in our ca; add it if it is to be trusted";
    case X509_V_ERR_CERT_REVOKED:
      return "our ca says that it must not be trusted any more";
    case X509_V_ERR_UNABLE_TO_GET_CRL:
      return "our ca has revocation lists, and none of who signed it: add that one";
    case X509_V_ERR_CRL_HAS_EXPIRED:
    case X509_V_ERR_CRL_NOT_YET_VALID:
      return "the revocation list in our ca is out of date: renew it";
    case X509_V_ERR_INVALID_PURPOSE:
      return "it was not made for this side of TLS (extendedKeyUsage)";
    default:
      return "see the words in brackets";
  }
}

static void explain_certificate(long result, const char *name, tth_tls_why *why) {
  if (is_name_mismatch(result))
    snprintf(
        why->text, sizeof why->text,
        "TLS: the peer's certificate is not for the name %.100s; connect by a name that it has, or set server_name",
        name ? name : "(none)");
  else
    snprintf(why->text, sizeof why->text, "TLS: the peer's certificate is not accepted (%s): %s",
             X509_verify_cert_error_string(result), advice(result));
}

/* What the library's reason means, and what to do; NULL: its own words will do. */
static const char *meaning(int reason) {
  switch (reason) {
    case SSL_R_PEER_DID_NOT_RETURN_A_CERTIFICATE:
      return "the client has shown no certificate, and one is required: give it cert and key";
    case SSL_R_WRONG_VERSION_NUMBER:
    case SSL_R_HTTP_REQUEST:
    case SSL_R_HTTPS_PROXY_REQUEST:
    case SSL_R_UNEXPECTED_MESSAGE:
    case SSL_R_PACKET_LENGTH_TOO_LONG:
      return "the peer does not speak TLS here: are both URLs tls+tcp (or wss)?";
    case SSL_R_UNSUPPORTED_PROTOCOL:
    case SSL_R_VERSION_TOO_LOW:
      return "the peer speaks no TLS version as new as min_version";
    case SSL_R_TLSV1_ALERT_PROTOCOL_VERSION:
      return "the peer does not take our TLS versions (its alert: protocol version)";
    case SSL_R_TLSV1_ALERT_UNKNOWN_CA:
      return "the peer does not trust who signed our certificate (its alert: unknown ca)";
    case SSL_R_TLSV13_ALERT_CERTIFICATE_REQUIRED:
    case SSL_R_SSLV3_ALERT_NO_CERTIFICATE:
      return "the peer requires a certificate of ours (its alert: certificate required): set cert and key";
    case SSL_R_SSLV3_ALERT_CERTIFICATE_EXPIRED:
      return "the peer finds our certificate expired or not valid yet (its alert: certificate expired)";
    case SSL_R_SSLV3_ALERT_CERTIFICATE_REVOKED:
      return "the peer finds our certificate revoked (its alert: certificate revoked)";
    case SSL_R_SSLV3_ALERT_BAD_CERTIFICATE:
    case SSL_R_SSLV3_ALERT_CERTIFICATE_UNKNOWN:
    case SSL_R_SSLV3_ALERT_UNSUPPORTED_CERTIFICATE:
      return "the peer does not accept our certificate, or the name in it (its alert: bad certificate)";
    case SSL_R_SSLV3_ALERT_HANDSHAKE_FAILURE:
      return "the peer refuses the handshake (its alert: handshake failure)";
    case SSL_R_NO_SHARED_CIPHER:
      return "no cipher that both sides take";
    default:
      return NULL;
  }
}

void tth_tls_explain(SSL *ssl, int error, const char *name, tth_tls_why *why) {
  long result = SSL_get_verify_result(ssl);
  unsigned long last = ERR_peek_last_error();
  int reason = ERR_GET_REASON(last);
  if (reason == SSL_R_CERTIFICATE_VERIFY_FAILED && result != X509_V_OK) {
    explain_certificate(result, name, why);
  } else if (error == SSL_ERROR_ZERO_RETURN || reason == SSL_R_UNEXPECTED_EOF_WHILE_READING || last == 0) {
    snprintf(why->text, sizeof why->text, "closed by the peer");
  } else {
    const char *means = meaning(reason), *words = ERR_reason_error_string(last);
    snprintf(why->text, sizeof why->text, "TLS failed: %s", means ? means : words ? words : "for an unknown reason");
  }
  ERR_clear_error();
}
