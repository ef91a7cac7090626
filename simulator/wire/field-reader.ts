/** Reads the fields of a JSON body with pydantic's lax rules and collects what is wrong in its words. */
import type { Issue } from './errors.ts'

type Json = Readonly<Record<string, unknown>>

/** A missing or null field is null; a wrong one is null and an issue. */
export class FieldReader {
  readonly issues: Issue[] = []
  readonly body: Json

  constructor(body: Json) {
    this.body = body
  }

  raw(name: string): unknown {
    return this.body[name] ?? null
  }

  integer(name: string): number | null {
    const value = this.raw(name)
    if (value === null) return null
    if (typeof value === 'boolean') return value ? 1 : 0
    const number = typeof value === 'string' && /^\s*[-+]?\d+\s*$/.test(value) ? Number(value) : value
    if (typeof number === 'number' && Number.isInteger(number)) return number
    if (typeof value === 'number') {
      return this.reject(
        name,
        'int_from_float',
        'Input should be a valid integer, got a number with a fractional part',
      )
    }
    if (typeof value === 'string') {
      const message = 'Input should be a valid integer, unable to parse string as an integer'
      return this.reject(name, 'int_parsing', message)
    }
    return this.reject(name, 'int_type', 'Input should be a valid integer')
  }

  float(name: string): number | null {
    const value = this.raw(name)
    if (value === null) return null
    if (typeof value === 'boolean') return value ? 1 : 0
    if (typeof value === 'number') return value
    if (typeof value === 'string') {
      const number = value.trim() === '' ? Number.NaN : Number(value)
      if (!Number.isNaN(number)) return number
      const message = 'Input should be a valid number, unable to parse string as a number'
      return this.reject(name, 'float_parsing', message)
    }
    return this.reject(name, 'float_type', 'Input should be a valid number')
  }

  boolean(name: string): boolean | null {
    const value = this.raw(name)
    if (value === null || typeof value === 'boolean') return value
    if (value === 0 || value === 'false') return false
    if (value === 1 || value === 'true') return true
    return this.reject(name, 'bool_type', 'Input should be a valid boolean')
  }

  string(name: string): string | null {
    const value = this.raw(name)
    if (value === null || typeof value === 'string') return value
    return this.reject(name, 'string_type', 'Input should be a valid string')
  }

  object(name: string): Json | null {
    const value = this.raw(name)
    if (value === null) return null
    if (isObject(value)) return value
    return this.reject(name, 'dict_type', 'Input should be a valid dictionary')
  }

  array(name: string): readonly unknown[] | null {
    const value = this.raw(name)
    if (value === null || Array.isArray(value)) return value
    return this.reject(name, 'list_type', 'Input should be a valid list')
  }

  missing(name: string): null {
    const { body } = this
    this.issues.push({ type: 'missing', path: ['body', name], message: 'Field required', input: body })
    return null
  }

  reject(name: string, type: string, message: string): null {
    this.issues.push({ type, path: ['body', name], message, input: this.raw(name) })
    return null
  }
}

export function isObject(value: unknown): value is Json {
  return typeof value === 'object' && value !== null && !Array.isArray(value)
}
