package quota

// UnknownSize is the size assumed, in octets, for a message whose size the server
// did not report.
const UnknownSize = 1 << 20

// MessageCost returns the octets that arrive from the network for a message of size
// octets: its own, those that TLS adds, and the reply around it.
func MessageCost(size int64) int64 { return size + size/64 + 200 }
