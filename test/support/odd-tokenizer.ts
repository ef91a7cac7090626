/** A tokenizer's thread that does what its work says: answers, fails, hangs or dies. */
import { parentPort } from 'node:worker_threads'
import type { TokenizerWork } from '../../cluster-agent/tokenizer-message.ts'

const port = parentPort
port?.on('message', ({ id, body }: TokenizerWork) => {
  const wish = new TextDecoder().decode(body)
  if (wish === 'hang') for (;;);
  if (wish === 'die') throw new Error('died')
  const reply = wish === 'fail' ? { id, error: 'failed' } : { id, understood: [] }
  port.postMessage(reply, [])
})
