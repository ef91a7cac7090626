/**
 * A span for each request, by the GenAI semantic conventions, in the caller's trace. Engines get the context on, so that
 * their own spans lie below ours. Without a configured collector no span is made, and the caller's context is passed on as
 * it came.
 * https://opentelemetry.io/docs/specs/semconv/gen-ai/gen-ai-spans/
 */
import {
  context,
  isSpanContextValid,
  SpanKind,
  SpanStatusCode,
  trace,
  TraceFlags,
  type Attributes,
  type Span,
  type SpanContext,
  type Tracer,
} from '@opentelemetry/api'
import type { SpanExporter, TracerProvider } from '@opentelemetry/sdk-trace'
import type { FinishedRequest } from './finished-request.ts'

export interface TracingOptions {
  readonly sampleRatio: number
  readonly exporter: SpanExporter
  readonly cluster: string
}

/** The trace of one request. */
export interface RequestTrace {
  /** What the engines are told; null: nothing. */
  readonly traceparent: string | null
  end(finished: FinishedRequest): void
}

const SERVICE = 'isotherm-agent'
/** Spans that wait for the collector; beyond it they are dropped. */
const SPANS_QUEUED_MAX = 4096

export class Tracing {
  readonly #provider: TracerProvider | null
  readonly #tracer: Tracer | null

  private constructor(provider: TracerProvider | null) {
    this.#provider = provider
    this.#tracer = provider?.getTracer(SERVICE) ?? null
  }

  static off(): Tracing {
    return new Tracing(null)
  }

  /** Loads the SDK, which agents without tracing do not need. */
  static async to(options: TracingOptions): Promise<Tracing> {
    const { resourceFromAttributes } = await import('@opentelemetry/resources')
    const {
      BatchSpanProcessor,
      ParentBasedSampler,
      TraceIdRatioBasedSampler,
      TracerProvider: Provider,
    } = await import('@opentelemetry/sdk-trace')
    return new Tracing(
      new Provider({
        resource: resourceFromAttributes({ 'service.name': SERVICE, 'isotherm.cluster': options.cluster }),
        sampler: new ParentBasedSampler({ root: new TraceIdRatioBasedSampler(options.sampleRatio) }),
        spanProcessors: [
          new BatchSpanProcessor({ exporter: options.exporter, maxQueueSize: SPANS_QUEUED_MAX }),
        ],
      }),
    )
  }

  static async toCollector(otlpUrl: string, sampleRatio: number, cluster: string): Promise<Tracing> {
    const { OTLPTraceExporter } = await import('@opentelemetry/exporter-trace-otlp-http')
    return Tracing.to({ sampleRatio, exporter: new OTLPTraceExporter({ url: otlpUrl }), cluster })
  }

  /** `operation` as the conventions name it; `traceparent` as it came in. */
  begin(operation: string, model: string, isStream: boolean, traceparent: string): RequestTrace {
    const parent = parentOf(traceparent)
    if (!this.#tracer) return { traceparent: parent && traceparent, end: () => undefined }
    const span = this.#tracer.startSpan(
      `${operation} ${model}`,
      {
        kind: SpanKind.SERVER,
        attributes: {
          'gen_ai.operation.name': operation,
          'gen_ai.provider.name': 'isotherm',
          'gen_ai.request.model': model,
          'gen_ai.request.stream': isStream,
        },
      },
      parent ? trace.setSpanContext(context.active(), parent) : context.active(),
    )
    return { traceparent: format(span.spanContext()), end: (finished) => finish(span, finished) }
  }

  async stop(): Promise<void> {
    await this.#provider?.shutdown()
  }
}

function finish(span: Span, finished: FinishedRequest): void {
  const { promptTokens, outputTokens, cachedTokens, ttftMs, predictedTtftMs } = finished
  const attributes: Attributes = {
    'http.response.status_code': finished.status,
    'isotherm.attempt': finished.attempt,
    'isotherm.end': finished.end,
    'isotherm.matched_tokens': finished.matchedTokens,
    ...(promptTokens === null ? {} : { 'gen_ai.usage.input_tokens': promptTokens }),
    ...(outputTokens === null ? {} : { 'gen_ai.usage.output_tokens': outputTokens }),
    ...(cachedTokens === null ? {} : { 'gen_ai.usage.cache_read.input_tokens': cachedTokens }),
    ...(ttftMs === null ? {} : { 'gen_ai.response.time_to_first_chunk': ttftMs / 1000 }),
    ...(predictedTtftMs === null ? {} : { 'isotherm.predicted_time_to_first_chunk': predictedTtftMs / 1000 }),
    ...(finished.prefillEndpoint === null ? {} : { 'isotherm.prefill_endpoint': finished.prefillEndpoint }),
    ...(finished.decodeEndpoint === null ? {} : { 'isotherm.decode_endpoint': finished.decodeEndpoint }),
  }
  span.setAttributes(attributes)
  if (finished.end === 'broken' || finished.end === 'failed') {
    span.setAttribute('error.type', finished.end === 'failed' ? String(finished.status) : finished.end)
    span.setStatus({ code: SpanStatusCode.ERROR })
  }
  span.end()
}

/** https://www.w3.org/TR/trace-context/#traceparent-header; null when it is not one. */
function parentOf(header: string): SpanContext | null {
  const match = /^[0-9a-f]{2}-([0-9a-f]{32})-([0-9a-f]{16})-([0-9a-f]{2})$/.exec(header)
  if (!match) return null
  const [, traceId = '', spanId = '', flags = '00'] = match
  const parent = {
    traceId,
    spanId,
    traceFlags: Number.parseInt(flags, 16) & TraceFlags.SAMPLED,
    isRemote: true,
  }
  return isSpanContextValid(parent) ? parent : null
}

function format({ traceId, spanId, traceFlags }: SpanContext): string {
  return `00-${traceId}-${spanId}-${traceFlags.toString(16).padStart(2, '0')}`
}
