/* rpc/text_file.h: small text files, read as a whole: certificates, policies, tokens. */
#ifndef TETHER_RPC_TEXT_FILE_H
#define TETHER_RPC_TEXT_FILE_H

#include <tether/base.h>

/* The file's text, to be freed. TETHER_INVALID_ARGUMENT: it cannot be read, is larger than 1 MiB or has a NUL in it;
 * `why` says which. TETHER_RESOURCE_EXHAUSTED: also in `why`. */
TETHER_MUST_USE tether_code tth_text_file_read(const char *path, char **text, char *why, size_t why_size);

#endif
