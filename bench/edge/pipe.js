/** The Worker that only pipes: what the edge is held against. */
// oxlint-disable-next-line import/no-default-export -- a Worker is its default export
export default {
  fetch(request, env) {
    return fetch(env.UPSTREAM + new URL(request.url).pathname, request)
  },
}
