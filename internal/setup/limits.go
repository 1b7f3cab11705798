package setup

import (
	"golang.org/x/time/rate"

	"archiverd/internal/config"
)

// SharedLimiter returns the limit in octets per second that all accounts share, nil for
// no limit.
func SharedLimiter(cfg *config.Config) *rate.Limiter { return limiter(cfg.Limits.Rate) }

// limiter limits to octets per second; it is nil for 0, which is no limit.
func limiter(octets int64) *rate.Limiter {
	if octets == 0 {
		return nil
	}
	return rate.NewLimiter(rate.Limit(octets), int(min(max(octets, 64<<10), 1<<30)))
}

// LowestRate returns the lower of two limits, of which 0 is no limit.
func LowestRate(a, b int64) int64 {
	if a == 0 || b == 0 {
		return max(a, b)
	}
	return min(a, b)
}
