// Preact with tagged templates instead of a compiler.
import { h, Fragment, render, createContext } from "preact";
import htm from "htm";

export const html = htm.bind(h);
export { Fragment, render, createContext };
export * from "preact/hooks";
