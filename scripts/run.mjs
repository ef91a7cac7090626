/** `node scripts/run.mjs FILE.ts [ARG ...]`: a TypeScript file of the repository on its own Node, from a bare clone. */
import { runOnNode24 } from './bootstrap.mjs'

const [file, ...args] = process.argv.slice(2)
if (!file) {
  process.stderr.write('usage: node scripts/run.mjs FILE.ts [ARG ...]\n')
  process.exit(2)
}
runOnNode24(file, args)
