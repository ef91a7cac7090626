/** Asks the edge how a region's directory is divided among objects. */
import { request } from 'undici'
import { REPORT_PATH } from '../protocol/report.ts'
import { shardLayoutSchema, SINGLE_SHARD, type ShardLayout } from '../protocol/shard-layout.ts'

const ANSWER_MS_MAX = 5000
const ANSWER_BYTES_MAX = 256 * 1024

export interface LayoutQuestion {
  readonly region: string
  readonly url: string
  readonly cluster: string
  readonly clusterToken: string
}

/** null when the edge does not say. One that does not know the question, being a version behind, has one object. */
export async function askLayout(question: LayoutQuestion): Promise<ShardLayout | null> {
  const { url, region, cluster, clusterToken } = question
  const address = new URL(`${url.replace(/\/$/, '')}${REPORT_PATH}/${region}/layout`)
  address.searchParams.set('cluster', cluster)
  try {
    const { statusCode, body } = await request(address, {
      headers: { authorization: `Bearer ${clusterToken}` },
      signal: AbortSignal.timeout(ANSWER_MS_MAX),
    })
    const text = await body.text()
    if (statusCode === 404) return SINGLE_SHARD
    if (statusCode !== 200 || text.length > ANSWER_BYTES_MAX) return null
    const parsed = shardLayoutSchema.safeParse(JSON.parse(text))
    return parsed.success ? parsed.data : null
  } catch {
    return null
  }
}
