//go:build race

package message

// raceEnabled: the race detector makes everything slower by far, so times say nothing.
const raceEnabled = true
