package config

import (
	"bytes"
	"errors"
	"io"
	"maps"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"gopkg.in/yaml.v3"
)

// maxItems limits every list.
const maxItems = 1000

// What the keys and values of a file may add up to, with its aliases expanded: the file's
// own octets and maxExpanded more. Each value counts valueOverhead beside its octets. A
// few lines could otherwise stand for thousands of accounts.
const (
	maxExpanded   = 1 << 20
	valueOverhead = 16
)

// setter stores a node of the file, found at the key, in the configuration.
type setter func(key string, n *yaml.Node)

// section is the known keys of a mapping, with their setters.
type section map[string]setter

// decoder walks the YAML tree of one file into a Config.
type decoder struct {
	*report
	known map[string]bool // every key that the sections of the file can have
	left  int             // octets that keys and values may still have
}

// decode reads the text into c over the values that c has. It reports invalid YAML,
// unknown keys, and values of the wrong type.
func decode(c *Config, data []byte, r *report) *decoder {
	d := &decoder{r, map[string]bool{}, maxExpanded + (1+valueOverhead)*len(data)}
	dec := yaml.NewDecoder(bytes.NewReader(data))
	var doc, second yaml.Node
	err := dec.Decode(&doc)
	if err == nil && doc.Kind == yaml.DocumentNode && doc.Content[0].Tag != "!!null" {
		d.keys("", doc.Content[0], d.config(c))
	} else if err == nil || errors.Is(err, io.EOF) {
		d.add(1, "", "the file is empty; archive.path and accounts are the least it needs (see config.example.yaml)")
		d.bad["archive"], d.bad["accounts"] = true, true
	} else {
		d.syntax(err)
	}
	if err != nil {
		return d
	}
	if err := dec.Decode(&second); err == nil {
		d.add(second.Line, "", "a second YAML document begins here; only the first would be read: delete the line --- or the rest")
	} else if !errors.Is(err, io.EOF) {
		d.syntax(err)
	}
	return d
}

// syntax reports an error of the YAML parser. Nothing after it can be checked.
func (d *decoder) syntax(err error) {
	line, text := 1, strings.TrimPrefix(err.Error(), "yaml: ")
	if m := regexp.MustCompile(`^line (\d+): `).FindStringSubmatch(text); m != nil {
		line, _ = strconv.Atoi(m[1])
		text = text[len(m[0]):]
	}
	// A password that begins with * or & is an alias or anchor for YAML: its text is not shown.
	text = regexp.MustCompile(`(?s)anchor '.*'`).ReplaceAllString(text, "anchor")
	for _, sign := range []string{"cannot start any token", "alphabetic or numeric", "anchor", "escape"} {
		if strings.Contains(text, sign) {
			text += "; text that begins with @ * % or & must stand in single quotes, as in schedule: '@daily', and so must text with a backslash; no tabs"
			break
		}
	}
	d.add(line, "", "no valid YAML in or just below this line: %s", printableText(text))
	d.bad["archive"], d.bad["accounts"] = true, true
}

// keys walks a mapping.
func (d *decoder) keys(path string, n *yaml.Node, known section) {
	for name := range known {
		d.known[strings.TrimPrefix(path+"."+name, ".")] = true
	}
	n = resolveAlias(n)
	if n.Tag == "!!null" {
		return // all lines of the section are commented out
	}
	if n.Kind != yaml.MappingNode {
		d.add(n.Line, path, "expected keys (%s), got %s", strings.Join(slices.Sorted(maps.Keys(known)), ", "), kindName(n))
		for name := range known {
			d.bad[strings.TrimPrefix(path+"."+name, ".")] = true // so that it is not reported as missing
		}
		return
	}
	first := map[string]int{}
	for i := 0; i+1 < len(n.Content); i += 2 {
		k, v := n.Content[i], n.Content[i+1]
		if !d.spend(k) {
			return
		}
		key := strings.TrimPrefix(path+"."+printable(k.Value), ".")
		if k.Kind != yaml.ScalarNode {
			d.add(k.Line, path, "expected a key, got %s", kindName(k))
			continue
		}
		if line, ok := first[k.Value]; ok {
			d.add(k.Line, key, "stands here a second time, first in line %d", line)
			continue
		}
		first[k.Value] = k.Line
		set, ok := known[k.Value]
		if !ok {
			d.unknown(k, path, key, slices.Sorted(maps.Keys(known)))
			continue
		}
		d.lines[key] = k.Line
		if v = resolveAlias(v); d.spend(v) {
			set(key, v)
		}
	}
}

func (d *decoder) unknown(k *yaml.Node, path, key string, known []string) {
	switch near := Nearest(k.Value, known); {
	case near != "":
		d.add(k.Line, key, "unknown key; did you mean %s?", near)
		d.bad[strings.TrimPrefix(path+"."+near, ".")] = true // so that it is not reported as missing
	case k.Value == "<<":
		d.add(k.Line, key, "merge keys are not supported; write the keys out")
	default:
		d.add(k.Line, key, "unknown key; known here: %s", strings.Join(known, ", "))
	}
}

// value returns a setter for a single value. what describes what is expected, for
// people; parse gets the text in the file.
func (d *decoder) value(what string, parse func(string) error) setter {
	return func(key string, n *yaml.Node) {
		switch {
		case n.Tag == "!!null" || n.Kind == yaml.ScalarNode && strings.TrimSpace(n.Value) == "":
			d.add(d.line(key), key, "has no value: expected %s (or delete the line)", what)
		case n.Kind != yaml.ScalarNode:
			d.add(n.Line, key, "expected %s, got %s", what, kindName(n))
		case n.Style&yaml.TaggedStyle != 0:
			d.add(n.Line, key, "expected %s, got a YAML tag", what)
		default:
			if err := parse(n.Value); err != nil {
				d.add(n.Line, key, "%v", err)
			}
		}
	}
}

// list returns a setter for a list of texts. An empty list is the same as none.
func (d *decoder) list(what string, dst *[]string) setter {
	return func(key string, n *yaml.Node) {
		*dst = nil
		d.items(key, n, what, func(item string, n *yaml.Node) {
			d.value("text", func(s string) error { *dst = append(*dst, s); return nil })(item, n)
		})
	}
}

// items walks a list.
func (d *decoder) items(key string, n *yaml.Node, what string, each setter) {
	switch {
	case n.Tag == "!!null":
	case n.Kind != yaml.SequenceNode:
		d.add(n.Line, key, "expected %s, got %s", what, kindName(n))
	case len(n.Content) > maxItems:
		d.add(n.Line, key, "has %d items; at most %d are allowed", len(n.Content), maxItems)
	default:
		for i, v := range n.Content {
			if !d.spend(resolveAlias(v)) {
				return
			}
			item := key + "[" + strconv.Itoa(i) + "]"
			d.lines[item] = v.Line
			each(item, resolveAlias(v))
		}
	}
}

// spend counts a key or value. It returns false, and reports that once, if the file's
// aliases stand for too much.
func (d *decoder) spend(n *yaml.Node) bool {
	if d.left < 0 {
		return false
	}
	if d.left -= valueOverhead + len(n.Value); d.left >= 0 {
		return true
	}
	d.add(n.Line, "", "the aliases (*) of this file stand for over %d octets; write out what is meant", maxExpanded)
	return false
}

// resolveAlias returns the node that an alias refers to, or n itself.
func resolveAlias(n *yaml.Node) *yaml.Node {
	if n.Kind == yaml.AliasNode {
		return n.Alias
	}
	return n
}

// kindName names the kind of a node, for people.
func kindName(n *yaml.Node) string {
	switch n.Kind {
	case yaml.MappingNode:
		return "keys"
	case yaml.SequenceNode:
		return "a list"
	case yaml.AliasNode:
		return "an alias"
	}
	if n.Tag == "!!null" {
		return "nothing"
	}
	return "a single value"
}
