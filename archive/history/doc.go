// Package history answers questions about mailboxes over time, from the journals of an
// archive alone: which messages a mailbox had on a day ([Select]), what disappeared and
// where it was moved to ([Losses]), and what happened in an account ([Log]).
//
// A journal says when a UID was added and when the server no longer listed it. That is
// not yet what people mean by deleted: a message that is moved gets another UID in
// another mailbox, and after a change of UIDVALIDITY every message has a new one. This
// package matches losses with arrivals of the same octets, so that a message counts as
// gone only if it arrived nowhere else in the account.
//
// Times are those at which archiverd saw a change, to the second.
package history
