/* rpc/utf8.h: is this text? */
#ifndef TETHER_RPC_UTF8_H
#define TETHER_RPC_UTF8_H

#include <stddef.h>
#include <stdint.h>

/* The length of the longest prefix that is well-formed UTF-8 (RFC 3629: no surrogates, nothing above U+10FFFF,
 * shortest forms only) without a NUL. Equal to `len` when all of it is. */
size_t tth_utf8_prefix(const uint8_t *text, size_t len);

/* `text`, or words that say so if it is not UTF-8: a receiver refuses a frame over a string that is not. */
const char *tth_utf8_text(const char *text);

#endif
