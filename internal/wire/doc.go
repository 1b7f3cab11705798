// Package wire is archiverd's connection to an IMAP server: go-imap's client
// above a guard that trusts no reply.
//
// A server may be slow, broken or hostile. Whatever it sends, a command ends in
// bounded time and memory, with its result or with an *Error and its Class. Nothing
// panics, and no incomplete reply passes for a complete one.
//
// # Layout
//
//   - One file a command, named for it: append.go, list.go, search.go, store.go …
//   - dial.go, tls.go, greeting.go: TCP, TLS or STARTTLS, the greeting, the capabilities.
//   - stream.go reads lines and literals; deadline.go has their deadlines and the
//     minimum rate, throughput.go measures the link. Only time spent waiting for
//     the network counts: a slow disk of ours ends no connection.
//   - guard.go is the net.Conn under go-imap. It lets through only what the running
//     command needs, rewritten to its plainest form. go-imap never sees a flag, a
//     date, a name or a nested list of the server's.
//   - pipeline.go sends raw commands on the same connection, and reply.go, parse.go
//     and value.go read the answers tolerantly: all commands that go-imap does not
//     have, or that one bad name, flag or date would make it fail (all but the login,
//     LOGOUT and FetchBodies).
//   - compress.go puts DEFLATE between the stream and the network during a session.
//   - append_pipeline.go streams messages to the server through one small buffer.
//   - server_state.go has what the server said of itself, failure.go the error that
//     ended the connection, error.go the classes of errors.
//
// One command runs at a time, and owns the stream. go-imap's reader waits in the
// guard unless its own command runs.
//
// # Guarantees
//
//   - The first error of the connection closes it. Every later call returns that
//     error, with the server's BYE or ALERT text.
//   - A cancelled context closes the connection; nothing waits for the server then.
//   - A literal counts only when all its announced octets came.
//   - Text of the server in an error is one safe line of at most 300 octets. The
//     password is struck out of it, plain or in base64.
//   - Bodies and headers are read with BODY.PEEK, mailboxes opened with EXAMINE
//     unless Select is called. Only the commands that say so change anything:
//     Append, Store, Expunge, Create, Delete, Rename, Subscribe, Unsubscribe, and
//     Select, which may take the \Recent from messages.
//   - For each message of an Append the caller learns whether the server has it,
//     has refused it, can't have it, or may have it.
//   - A server can't take a message, a name, a flag or a search text for a command:
//     what can't be sent safely is not sent.
//
// # What it does not do
//
// It does not reconnect, retry or compare what came with what was asked for:
// "no error" means that the server said OK, not that every message came.
package wire
