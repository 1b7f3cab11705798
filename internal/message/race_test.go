//go:build race

package message

// raceEnabled reports whether the race detector is on, which makes everything much slower.
const raceEnabled = true
