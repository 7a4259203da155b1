/*
 * The package's version, written out: reading package.json would tie the library to where it lies, and bundlers move it.
 * A test compares the two.
 */
export const VERSION = '0.1.0'
