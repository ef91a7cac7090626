/** The Worker that only pipes: what the edge is held against. Asked with `?hold` it holds both bodies before it passes them on, as the edge must. */
const RECEIPT = { 'x-request-id': 'r', 'x-isotherm-route': 'r'.repeat(150) }
const ENVELOPE = {
  'content-type': 'application/json',
  'x-request-id': 'r',
  'x-isotherm-envelope': 'e'.repeat(1400),
}

// oxlint-disable-next-line import/no-default-export -- a Worker is its default export
export default {
  async fetch(request, env) {
    const { pathname, search } = new URL(request.url)
    const upstream = env.UPSTREAM + pathname
    if (search === '') return fetch(upstream, request)
    const body = await request.arrayBuffer()
    const answer = await fetch(upstream, { method: 'POST', headers: ENVELOPE, body, redirect: 'manual' })
    const headers = { ...RECEIPT, 'content-type': answer.headers.get('content-type') }
    return new Response(await answer.arrayBuffer(), { status: answer.status, headers })
  },
}
