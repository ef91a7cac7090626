/** A tokenizer's thread that does what its work says: answers, fails, hangs or dies. */
import { parentPort } from 'node:worker_threads'
import type { TokenizerBatch } from '../../cluster-agent/tokenizer-message.ts'

const port = parentPort
port?.on('message', ({ id, works }: TokenizerBatch) => {
  const results = works.map(({ body }) => {
    const wish = new TextDecoder().decode(body)
    if (wish === 'hang') for (;;);
    if (wish === 'die') throw new Error('died')
    return wish === 'fail' ? { error: 'failed' } : { understood: [] }
  })
  port.postMessage({ id, results }, [])
})
