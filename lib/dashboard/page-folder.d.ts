/** Absolute path of the folder that holds index.html and what it loads. */
export declare const pageFolder: string
