#include "rpc/identity.h"

#include <arpa/inet.h>
#include <openssl/x509v3.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

const tether_identity tth_identity_none = {.kind = TETHER_IDENTITY_NONE};

/* More alternative names, or longer texts in all, are not looked at: certificates are small. */
#define NAMES_MOST 64
#define TEXT_MOST ((size_t)16 * 1024)

/* What is gathered before it is known how much it is. */
struct names {
  size_t count, len;
  size_t at[NAMES_MOST];
  char text[TEXT_MOST];
};

/* A NUL in the middle of a name, or a control character in a log, would make it look like another. */
static bool is_plain(const char *text, size_t len) {
  for (size_t i = 0; i < len; i++)
    if ((unsigned char)text[i] < 0x20 || text[i] == 0x7f) return false;
  return true;
}

static void add(struct names *names, const char *kind, const char *text, size_t len) {
  size_t kind_len = strlen(kind);
  if (!is_plain(text, len) || names->count == NAMES_MOST || kind_len + len + 1 > TEXT_MOST - names->len) return;
  names->at[names->count++] = names->len;
  memcpy(names->text + names->len, kind, kind_len);
  memcpy(names->text + names->len + kind_len, text, len);
  names->len += kind_len + len;
  names->text[names->len++] = 0;
}

static void add_general(struct names *names, const GENERAL_NAME *name) {
  int type;
  const ASN1_STRING *value = GENERAL_NAME_get0_value(name, &type);
  bool text = type == GEN_DNS || type == GEN_URI || type == GEN_EMAIL;
  if (text) {
    const char *kind = type == GEN_DNS ? "dns:" : type == GEN_URI ? "uri:" : "email:";
    add(names, kind, (const char *)ASN1_STRING_get0_data(value), (size_t)ASN1_STRING_length(value));
  } else if (type == GEN_IPADD) {
    char address[INET6_ADDRSTRLEN];
    int len = ASN1_STRING_length(value);
    if ((len == 4 || len == 16) &&
        inet_ntop(len == 4 ? AF_INET : AF_INET6, ASN1_STRING_get0_data(value), address, sizeof address))
      add(names, "ip:", address, strlen(address));
  }
}

/* The subject's last common name, which is the most specific one, as UTF-8. */
static void add_common_name(struct names *names, X509 *certificate) {
  const X509_NAME *subject = X509_get_subject_name(certificate);
  int last = -1;
  for (int i; (i = X509_NAME_get_index_by_NID(subject, NID_commonName, last)) >= 0;) last = i;
  unsigned char *utf8 = NULL;
  int len = last < 0 ? 0 : ASN1_STRING_to_UTF8(&utf8, X509_NAME_ENTRY_get_data(X509_NAME_get_entry(subject, last)));
  size_t before = names->count;
  if (len > 0) add(names, "", (const char *)utf8, (size_t)len);
  if (names->count == before) add(names, "", "", 0);
  OPENSSL_free(utf8);
}

tether_identity *tth_identity_of_certificate(X509 *certificate) {
  struct names *names = calloc(1, sizeof *names);
  if (!names) return NULL;
  add_common_name(names, certificate);
  GENERAL_NAMES *all = X509_get_ext_d2i(certificate, NID_subject_alt_name, NULL, NULL);
  for (int i = 0; i < sk_GENERAL_NAME_num(all); i++) add_general(names, sk_GENERAL_NAME_value(all, i));
  GENERAL_NAMES_free(all);
  tether_identity *identity = malloc(sizeof *identity + names->count * sizeof(char *) + names->len);
  if (identity) {
    const char **pointers = (const char **)(identity + 1);
    char *text = (char *)(pointers + names->count);
    memcpy(text, names->text, names->len);
    for (size_t i = 0; i < names->count; i++) pointers[i] = text + names->at[i];
    *identity = (tether_identity){
        .kind = TETHER_IDENTITY_TLS, .names = pointers + 1, .name_count = names->count - 1, .common_name = pointers[0]};
  }
  free(names);
  return identity;
}

const char *tether_identity_text(const tether_identity *identity, char *text, size_t size) {
  if (size == 0) return "";
  int at = 0;
  switch (identity->kind) {
    case TETHER_IDENTITY_UNIX:
      snprintf(text, size, "unix uid %u gid %u pid %d", identity->uid, identity->gid, identity->pid);
      break;
    case TETHER_IDENTITY_TLS:
      at = snprintf(text, size, "tls CN=%s", identity->common_name);
      for (size_t i = 0; i < identity->name_count && at >= 0 && (size_t)at < size; i++)
        at += snprintf(text + at, size - (size_t)at, " %s", identity->names[i]);
      break;
    default:
      snprintf(text, size, "none");
      break;
  }
  return text;
}
