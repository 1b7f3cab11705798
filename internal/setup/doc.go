// Package setup turns a configuration into opened parts: the archive, its state
// database, the committer, and what a run needs to know of an account.
//
// It is the one place where values of the configuration become arguments of the
// packages below, which know nothing of it.
package setup
