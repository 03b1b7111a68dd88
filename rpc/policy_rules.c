/* The rules of a policy. Texts stay where the JSON parser has put them; a pattern is a piece of one. */
#include "rpc/policy_rules.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "rpc/config_json.h"

typedef enum form { WHOLE, BEGINNING, END, ANYTHING, ANONYMOUS } form;

struct pattern {
  form form;
  bool fold;        /* upper and lower case are alike */
  const char *kind; /* of a principal: "dns:"; NULL: any */
  const char *text;
  size_t len;
};

struct patterns {
  struct pattern *at;
  size_t count; /* 0: everything matches */
};

struct header {
  const char *key;
  struct patterns values;
};

struct rule {
  const char *name;
  struct patterns principals, paths;
  struct header *headers;
  size_t header_count;
};

struct list {
  struct rule *at;
  size_t count;
};

struct tth_rules {
  json_t *root; /* owns the texts */
  struct list deny, allow;
};

/* ---- Reading ------------------------------------------------------------------------------- */

/* Every principal begins with one of these, and only what is proven can be of that kind. */
static const char *const kinds[] = {"uid:", "gid:", "cn:", "dns:", "uri:", "ip:", "email:", "auth:"};

static bool set_pattern(tth_reading *reading, const tth_place *at, const char *text, struct pattern *pattern) {
  size_t len = strlen(text);
  bool first = *text == '*', last = len > 1 && text[len - 1] == '*';
  if (len == 0) return tth_reading_fail(reading, at, "is empty; leave the list out to match everything");
  pattern->form = first ? len == 1 ? ANYTHING : END : last ? BEGINNING : WHOLE;
  pattern->text = text + first;
  pattern->len = len - first - last;
  if ((first && last) || memchr(pattern->text, '*', pattern->len))
    return tth_reading_fail(reading, at, "is \"%.80s\"; '*' stands once, at the beginning or at the end", text);
  return true;
}

static bool read_principal(tth_reading *reading, const tth_place *at, const char *text, struct pattern *pattern) {
  if (strcmp(text, "anonymous") == 0) {
    pattern->form = ANONYMOUS;
    return true;
  }
  if (strcmp(text, "*") == 0) return set_pattern(reading, at, text, pattern);
  for (size_t i = 0; i < sizeof kinds / sizeof *kinds; i++) {
    const char *value = text + strlen(kinds[i]);
    if (strncmp(text, kinds[i], strlen(kinds[i])) != 0) continue;
    bool number = kinds[i][1] == 'i' && kinds[i][2] == 'd';
    if (number && strcmp(value, "*") != 0 && (!*value || strspn(value, "0123456789") != strlen(value)))
      return tth_reading_fail(reading, at, "is \"%.80s\"; %s needs a number, or *", text, kinds[i]);
    pattern->kind = kinds[i];
    pattern->fold = strcmp(kinds[i], "dns:") == 0;
    return set_pattern(reading, at, value, pattern);
  }
  return tth_reading_fail(reading, at,
                          "is \"%.80s\"; it must begin with uid:, gid:, cn:, dns:, uri:, ip:, email: or auth:, or be * "
                          "or anonymous",
                          text);
}

static bool read_path(tth_reading *reading, const tth_place *at, const char *text, struct pattern *pattern) {
  if (*text != '/' && *text != '*')
    return tth_reading_fail(reading, at, "is \"%.80s\"; it must be as \"/package.Service/Method\", \"/package.*\" or *",
                            text);
  return set_pattern(reading, at, text, pattern);
}

typedef bool (*read_fn)(tth_reading *reading, const tth_place *at, const char *text, struct pattern *pattern);

/* A list of texts, if there is one. */
static bool read_patterns(tth_reading *reading, const tth_place *in, const json_t *object, const char *name,
                          read_fn read, struct patterns *patterns) {
  const tth_place place = {.in = in, .name = name};
  const json_t *list = json_object_get(object, name);
  const char *text;
  if (!list) return true;
  if (!tth_json_list(reading, &place, list)) return false;
  size_t count = json_array_size(list);
  if (count == 0) return tth_reading_fail(reading, &place, "is empty; leave it out to match everything");
  patterns->at = calloc(count, sizeof *patterns->at);
  if (!patterns->at) return tth_reading_no_memory(reading);
  for (; patterns->count < count; patterns->count++) {
    const tth_place one = {.in = &place, .index = patterns->count};
    if (!tth_json_text(reading, &one, json_array_get(list, patterns->count), &text) ||
        !read(reading, &one, text, &patterns->at[patterns->count]))
      return false;
  }
  return true;
}

static bool only_known(tth_reading *reading, const tth_place *at, const json_t *object, const char *const *known) {
  tth_reading_note_unknown(reading, at, object, known);
  if (!*reading->ignored) return true;
  return tth_reading_fail(reading, NULL, "%s: nobody knows this member", reading->ignored);
}

static bool read_key(tth_reading *reading, const tth_place *at, const json_t *value, const char **key) {
  if (!value) return tth_reading_fail(reading, at, "is missing");
  if (!tth_json_text(reading, at, value, key)) return false;
  size_t len = strlen(*key);
  if (len == 0 || strspn(*key, "abcdefghijklmnopqrstuvwxyz0123456789_-.") != len)
    return tth_reading_fail(reading, at, "is \"%.80s\"; keys are of a-z, 0-9, _, - and .", *key);
  if (strcmp(*key, "authorization") == 0)
    return tth_reading_fail(reading, at, "is \"authorization\"; callers are matched by the principal auth:NAME");
  if (len >= 4 && strcmp(*key + len - 4, "-bin") == 0)
    return tth_reading_fail(reading, at, "is \"%.80s\"; values of -bin keys cannot be matched", *key);
  return true;
}

static bool read_header(tth_reading *reading, const tth_place *at, const json_t *value, struct header *header) {
  static const char *const known[] = {"key", "values", NULL};
  const tth_place key = {.in = at, .name = "key"};
  if (!tth_json_object(reading, at, value) || !only_known(reading, at, value, known) ||
      !read_key(reading, &key, json_object_get(value, "key"), &header->key))
    return false;
  if (!json_object_get(value, "values"))
    return tth_reading_fail(reading, at, "has no \"values\"; \"*\" matches every value that is not empty");
  return read_patterns(reading, at, value, "values", set_pattern, &header->values);
}

static bool read_headers(tth_reading *reading, const tth_place *in, const json_t *list, struct rule *rule) {
  const tth_place place = {.in = in, .name = "headers"};
  if (!list) return true;
  if (!tth_json_list(reading, &place, list)) return false;
  size_t count = json_array_size(list);
  if (count == 0) return tth_reading_fail(reading, &place, "is empty; leave it out to match everything");
  rule->headers = calloc(count, sizeof *rule->headers);
  if (!rule->headers) return tth_reading_no_memory(reading);
  while (rule->header_count < count) {
    const tth_place one = {.in = &place, .index = rule->header_count};
    size_t i = rule->header_count++;
    if (!read_header(reading, &one, json_array_get(list, i), &rule->headers[i])) return false;
  }
  return true;
}

static bool read_rule(tth_reading *reading, const tth_place *at, const json_t *value, struct rule *rule) {
  static const char *const known[] = {"name", "source", "request", NULL};
  static const char *const in_source[] = {"principals", NULL}, *const in_request[] = {"paths", "headers", NULL};
  const tth_place name = {.in = at, .name = "name"}, source_at = {.in = at, .name = "source"},
                  request_at = {.in = at, .name = "request"};
  if (!tth_json_object(reading, at, value) || !only_known(reading, at, value, known)) return false;
  const json_t *named = json_object_get(value, "name");
  if (!named) return tth_reading_fail(reading, &name, "is missing; it says in logs which rule has decided");
  if (!tth_json_text(reading, &name, named, &rule->name)) return false;
  if (!*rule->name) return tth_reading_fail(reading, &name, "is empty");
  const json_t *source = json_object_get(value, "source"), *request = json_object_get(value, "request");
  if (source && (!tth_json_object(reading, &source_at, source) || !only_known(reading, &source_at, source, in_source) ||
                 !read_patterns(reading, &source_at, source, "principals", read_principal, &rule->principals)))
    return false;
  return !request ||
         (tth_json_object(reading, &request_at, request) && only_known(reading, &request_at, request, in_request) &&
          read_patterns(reading, &request_at, request, "paths", read_path, &rule->paths) &&
          read_headers(reading, &request_at, json_object_get(request, "headers"), rule));
}

static bool read_list(tth_reading *reading, const json_t *root, const char *name, struct list *list) {
  const tth_place place = {.name = name};
  const json_t *value = json_object_get(root, name);
  if (!value) return true;
  if (!tth_json_list(reading, &place, value)) return false;
  size_t count = json_array_size(value);
  list->at = count ? calloc(count, sizeof *list->at) : NULL;
  if (count && !list->at) return tth_reading_no_memory(reading);
  while (list->count < count) {
    const tth_place one = {.in = &place, .index = list->count};
    size_t i = list->count++;
    if (!read_rule(reading, &one, json_array_get(value, i), &list->at[i])) return false;
  }
  return true;
}

static bool read_root(tth_reading *reading, tth_rules *rules) {
  static const char *const known[] = {"name", "deny_rules", "allow_rules", NULL};
  const tth_place name = {.name = "name"}, allow = {.name = "allow_rules"};
  const json_t *named = json_object_get(rules->root, "name");
  const char *text;
  if (!only_known(reading, NULL, rules->root, known)) return false;
  if (named && !tth_json_text(reading, &name, named, &text)) return false;
  if (!read_list(reading, rules->root, "deny_rules", &rules->deny) ||
      !read_list(reading, rules->root, "allow_rules", &rules->allow))
    return false;
  if (rules->allow.count == 0)
    return tth_reading_fail(reading, &allow, "is missing or empty, so that nothing would be allowed");
  return true;
}

tether_code tth_rules_parse(const char *text, size_t len, tth_rules **result, char *why, size_t why_size) {
  tth_reading reading = {.why = why, .why_size = why_size};
  tth_rules *rules = calloc(1, sizeof *rules);
  if (!rules) return TETHER_RESOURCE_EXHAUSTED;
  rules->root = tth_reading_parse(&reading, text, len);
  if (rules->root && read_root(&reading, rules)) {
    *result = rules;
    return TETHER_OK;
  }
  tth_rules_free(rules);
  return reading.no_memory ? TETHER_RESOURCE_EXHAUSTED : TETHER_INVALID_ARGUMENT;
}

static void free_list(struct list *list) {
  for (size_t i = 0; i < list->count; i++) {
    struct rule *rule = &list->at[i];
    for (size_t j = 0; j < rule->header_count; j++) free(rule->headers[j].values.at);
    free(rule->headers);
    free(rule->principals.at);
    free(rule->paths.at);
  }
  free(list->at);
}

void tth_rules_free(tth_rules *rules) {
  if (!rules) return;
  free_list(&rules->deny);
  free_list(&rules->allow);
  json_decref(rules->root);
  free(rules);
}

/* ---- Matching ------------------------------------------------------------------------------ */

static bool same(const struct pattern *pattern, const char *text) {
  if (pattern->fold) return strncasecmp(pattern->text, text, pattern->len) == 0;
  return memcmp(pattern->text, text, pattern->len) == 0;
}

static bool fits(const struct pattern *pattern, const char *text, size_t len) {
  switch (pattern->form) {
    case WHOLE:
      return len == pattern->len && same(pattern, text);
    case BEGINNING:
      return len >= pattern->len && same(pattern, text);
    case END:
      return len >= pattern->len && same(pattern, text + len - pattern->len);
    case ANYTHING:
      return len > 0;
    default:
      return false;
  }
}

static bool fits_one(const struct patterns *patterns, const char *text, size_t len) {
  for (size_t i = 0; i < patterns->count; i++)
    if (fits(&patterns->at[i], text, len)) return true;
  return false;
}

static bool is_principal(const struct pattern *pattern, const char *kind, const char *name) {
  return (!pattern->kind || strcmp(pattern->kind, kind) == 0) && fits(pattern, name, strlen(name));
}

static bool is_number(const struct pattern *pattern, const char *kind, uint32_t number) {
  char text[16];
  snprintf(text, sizeof text, "%u", number);
  return is_principal(pattern, kind, text);
}

/* One of the certificate's names, "dns:..." */
static bool is_name(const struct pattern *pattern, const char *name) {
  for (size_t i = 0; i < sizeof kinds / sizeof *kinds; i++)
    if (strncmp(name, kinds[i], strlen(kinds[i])) == 0) return is_principal(pattern, kinds[i], name + strlen(kinds[i]));
  return false;
}

static bool is_caller(const struct pattern *pattern, const tether_policy_question *question) {
  const tether_identity *who = question->identity;
  tether_identity_kind kind = who ? who->kind : TETHER_IDENTITY_NONE;
  if (pattern->form == ANONYMOUS) return kind == TETHER_IDENTITY_NONE && !question->principal;
  if (question->principal && is_principal(pattern, "auth:", question->principal)) return true;
  if (kind == TETHER_IDENTITY_UNIX) return is_number(pattern, "uid:", who->uid) || is_number(pattern, "gid:", who->gid);
  if (kind != TETHER_IDENTITY_TLS) return false;
  /* Whoever has shown a good certificate is somebody, even one without any name. */
  if (pattern->form == ANYTHING && !pattern->kind) return true;
  if (is_principal(pattern, "cn:", who->common_name)) return true;
  for (size_t i = 0; i < who->name_count; i++)
    if (is_name(pattern, who->names[i])) return true;
  return false;
}

static bool has_header(const struct header *header, const tether_metadata *metadata, bool deny) {
  bool any = false, all = true;
  for (size_t i = 0; i < tether_metadata_count(metadata); i++) {
    tether_metadata_entry entry = tether_metadata_at(metadata, i);
    if (strcmp(entry.key, header->key) != 0) continue;
    bool fit = fits_one(&header->values, entry.value, entry.len);
    any |= fit;
    all &= fit;
  }
  return any && (deny || all);
}

static bool matches(const struct rule *rule, const tether_policy_question *question, bool deny) {
  bool caller = rule->principals.count == 0;
  for (size_t i = 0; i < rule->principals.count && !caller; i++) caller = is_caller(&rule->principals.at[i], question);
  const char *path = question->path ? question->path : "";
  if (!caller || (rule->paths.count > 0 && !fits_one(&rule->paths, path, strlen(path)))) return false;
  for (size_t i = 0; i < rule->header_count; i++)
    if (!has_header(&rule->headers[i], question->metadata, deny)) return false;
  return true;
}

static const char *find(const struct list *list, const tether_policy_question *question, bool deny) {
  for (size_t i = 0; i < list->count; i++)
    if (matches(&list->at[i], question, deny)) return list->at[i].name;
  return NULL;
}

bool tth_rules_allow(const tth_rules *rules, const tether_policy_question *question, const char **rule) {
  const char *denied = find(&rules->deny, question, true);
  const char *allowed = denied ? NULL : find(&rules->allow, question, false);
  *rule = denied ? denied : allowed ? allowed : "";
  return allowed != NULL;
}
