/* A program that knows the library only as installed: where there is no server it is told so. */
#include <stdio.h>
#include <tether/pq.h>

int main(void) {
  const tether_pq_options options = {.conninfo = "host=/nowhere"};
  tether_pq_pool *pool;
  tether_pq *pq;
  if (tether_pq_pool_open(&options, &pool) != TETHER_OK) return 1;
  tether_code code = tether_pq_pool_take(pool, tether_ctx_background(), &pq);
  puts(tether_code_name(code));
  tether_pq_pool_close(pool);
  return code == TETHER_UNAVAILABLE ? 0 : 1;
}
