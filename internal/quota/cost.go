package quota

// UnknownSize is the size assumed, in octets, for a message whose size the server
// did not report.
const UnknownSize = 1 << 20

// MessageCost returns the octets that fetching a message of that size takes from
// the network: its own, those that TLS adds, and the reply around it.
func MessageCost(size int64) int64 { return size + size/64 + 200 }
