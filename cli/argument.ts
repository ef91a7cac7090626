/** Parsers of command-line arguments: each gives its value or says what is needed. */
import { InvalidArgumentError } from 'commander'

export function integer(min: number, max: number): (text: string) => number {
  return (text) => {
    const value = Number(text)
    if (text.trim() === '' || !Number.isInteger(value) || value < min || value > max) {
      throw new InvalidArgumentError(`a whole number from ${min} to ${max} is needed`)
    }
    return value
  }
}

export function within(min: number, max: number): (text: string) => number {
  return (text) => {
    const value = Number(text)
    if (text.trim() === '' || !(value >= min && value <= max)) {
      throw new InvalidArgumentError(`a number from ${min} to ${max} is needed`)
    }
    return value
  }
}

export function positive(text: string): number {
  const value = Number(text)
  if (!Number.isFinite(value) || value <= 0) throw new InvalidArgumentError('a number above 0 is needed')
  return value
}

export function oneOf(names: readonly string[]): (text: string) => string {
  return (text) => {
    if (!names.includes(text)) throw new InvalidArgumentError(`one of ${names.join(', ')} is needed`)
    return text
  }
}
