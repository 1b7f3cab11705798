// Package ui prints reports for people and asks them questions. It holds what several
// commands print with: tables, verdicts, notes, times, wrapped text, progress, and the
// prompts for a confirmation and a password.
//
// All text that comes from a server, a mail or a file passes package safetext before it
// is printed. The package knows no domain type but progress.Progress: a command chooses
// the columns, the words and the order.
package ui
