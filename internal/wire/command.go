package wire

import "time"

// command describes a command to the connection.
type command struct {
	name       string        // as errors show it
	answerWait time.Duration // how long the first octet of the answer may take
	stall      time.Duration // how long the answer may take beyond what it earns; 0: Timeouts.Stall
	onNO       Class         // what NO means if its code does not tell
	onBAD      Class         // what BAD means if its code does not tell
	maxReplies int           // untagged replies of the command's own that an honest server may send
}

// The names of commands, as errors carry them.
const (
	cmdCapability  = "CAPABILITY"
	cmdStartTLS    = "STARTTLS"
	cmdLogin       = "LOGIN"
	cmdLogout      = "LOGOUT"
	cmdNoop        = "NOOP"
	cmdNamespace   = "NAMESPACE"
	cmdList        = "LIST"
	cmdStatus      = "STATUS"
	cmdQuota       = "GETQUOTAROOT"
	cmdCreate      = "CREATE"
	cmdDelete      = "DELETE"
	cmdRename      = "RENAME"
	cmdSubscribe   = "SUBSCRIBE"
	cmdUnsubscribe = "UNSUBSCRIBE"
	cmdAppend      = "APPEND"
	cmdSelect      = "SELECT"
	cmdExamine     = "EXAMINE"
	cmdSearch      = "UID SEARCH"
	cmdFetch       = "UID FETCH"
	cmdStore       = "UID STORE"
	cmdExpunge     = "UID EXPUNGE"
	cmdCompress    = "COMPRESS"
)
