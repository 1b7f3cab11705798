package drill

import (
	"math/rand/v2"
	"slices"

	"archiverd/sync/restore"
)

// shareOut returns how many of n messages are taken from mailboxes of those sizes:
// one from each, or from as many by chance as n allows, the rest by their sizes.
func shareOut(n int, sizes []int) []int {
	shares := make([]int, len(sizes))
	total, filled := 0, 0
	for _, size := range sizes {
		total += size
		filled += min(size, 1)
	}
	n = min(n, total)
	order := rand.Perm(len(sizes)) // decides which come first if not all can
	for _, i := range order {
		if n > 0 && sizes[i] > 0 {
			shares[i]++
			n--
		}
	}
	if n == 0 {
		return shares
	}
	rest, remaining := total-filled, n
	for _, i := range order {
		if sizes[i] == 0 {
			continue
		}
		// Integers could overflow. Floating point is at most one off, which the
		// next loop corrects.
		share := min(int(float64(n)*float64(sizes[i]-1)/float64(rest)), sizes[i]-shares[i], remaining)
		shares[i] += share
		remaining -= share
	}
	for remaining > 0 {
		for _, i := range order {
			if remaining > 0 && shares[i] < sizes[i] {
				shares[i]++
				remaining--
			}
		}
	}
	return shares
}

// sampleItems returns n of the items, chosen by chance, in their order.
func sampleItems(items []restore.Item, n int) []restore.Item {
	if n >= len(items) {
		return items
	}
	chosen := rand.Perm(len(items))[:n]
	slices.Sort(chosen)
	out := make([]restore.Item, n)
	for i, k := range chosen {
		out[i] = items[k]
	}
	return out
}
