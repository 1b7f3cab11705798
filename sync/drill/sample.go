package drill

import (
	"math/rand/v2"
	"slices"

	"archiverd/sync/restore"
)

// allot shares n messages out to mailboxes of those sizes: one to as many as n
// allows, chosen by chance, the rest by their sizes.
func allot(n int, sizes []int) []int {
	shares := make([]int, len(sizes))
	total, filled := 0, 0
	for _, size := range sizes {
		total += size
		filled += min(size, 1)
	}
	n = min(n, total)
	order := rand.Perm(len(sizes)) // who comes first where not all can
	for _, i := range order {
		if n > 0 && sizes[i] > 0 {
			shares[i]++
			n--
		}
	}
	if n == 0 {
		return shares
	}
	rest, left := total-filled, n
	for _, i := range order {
		if sizes[i] == 0 {
			continue
		}
		// In 128 bits this could not overflow; in floating point it is never
		// more than one off, which the next loop settles.
		share := min(int(float64(n)*float64(sizes[i]-1)/float64(rest)), sizes[i]-shares[i], left)
		shares[i] += share
		left -= share
	}
	for left > 0 {
		for _, i := range order {
			if left > 0 && shares[i] < sizes[i] {
				shares[i]++
				left--
			}
		}
	}
	return shares
}

// pick returns n of the items, chosen by chance, in their order.
func pick(items []restore.Item, n int) []restore.Item {
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
