// Package wire is archiverd's connection to an IMAP server: go-imap's client
// over a guard that believes nothing.
//
// A server may be slow, broken or hostile. Whatever it sends, a command here ends
// in bounded time and memory, with its result or with an *Error that says of
// which Class it is; there is no panic, and no reply that looks complete and is not.
//
// # Layout
//
//   - Dial connects: TCP, TLS or STARTTLS, the greeting, the capabilities.
//   - stream reads ahead and hands out lines and literals under rolling
//     deadlines, a minimum rate and a rate limit. Only time spent waiting for
//     the network counts: a slow disk never trips a deadline.
//   - guard is the net.Conn under go-imap. It lets through only what the one
//     running command needs, rewritten to its plainest form. go-imap never sees
//     a flag, a date, a name or a nested list of the server's.
//   - What go-imap cannot say, or what one poisoned name, flag or date would
//     spoil (all but the login, LOGOUT and many bodies at once), is sent by raw
//     commands on the same connection and read by the tolerant parser of this
//     package.
//   - Compress puts DEFLATE between the stream and the network, in the middle of a
//     session, where the link is slow.
//   - appender streams messages to the server, MULTIAPPEND and LITERAL+ where
//     they are announced, through one small buffer.
//
// One command runs at a time. The stream belongs to whoever runs it: go-imap's
// reader is parked in the guard unless its own command is in flight.
//
// # Guarantees
//
//   - The first error is the connection's last: it closes the connection, and
//     every later call returns it, with the server's BYE or ALERT text.
//   - A cancelled context closes the connection; nothing waits for the server then.
//   - A literal counts only when all its announced octets came.
//   - Text of the server in an error is one safe line of at most 300 octets, the
//     password struck out, plain or in base64.
//   - Bodies and headers are read with BODY.PEEK, mailboxes opened with EXAMINE
//     unless Select is called. Only the commands that say so change anything:
//     Append, Store, Expunge, Create, Delete, Rename, Subscribe, Unsubscribe, and
//     Select, which may take the \Recent from messages.
//   - Of each message that is appended the caller learns whether the server has
//     it, has refused it, can't have it, or may have it.
//   - A mail, a name, a flag or a search text is never taken for a command of ours:
//     what can't be sent as what it is, is not sent.
//
// # What it does not do
//
// It does not reconnect, retry or compare what came with what was asked for:
// "no error" means that the server said OK, not that every message came.
package wire
