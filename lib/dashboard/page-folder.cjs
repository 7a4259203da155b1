/*
 * page-folder.js for CJS. The page is in the package once, beside the ESM.
 */
'use strict'

const { join } = require('node:path')

exports.pageFolder = join(__dirname, '..', '..', 'esm', 'dashboard', 'page')
