/** The Worker that only pipes: what the edge is held against. */
export default {
  fetch(request, env) {
    return fetch(env.UPSTREAM + new URL(request.url).pathname, request)
  },
}
