/* A tree: one YAML document as nodes that know their line and column. The text of policies and labs comes
 * through here, from people and over the network, so everything is bounded, and what could surprise is
 * refused: anchors and aliases, tags, a key twice in one map, a second document, control characters. */
#ifndef POLICY_YAML_TREE_H
#define POLICY_YAML_TREE_H

#include "policy/complaint.h"

enum {
    YAML_TREE_BYTES_MAX = 1 << 20,    /* of one file */
    YAML_TREE_DEPTH_MAX = 32,         /* maps and lists within each other */
    YAML_TREE_NODES_MAX = 100 * 1000, /* keys not counted */
    YAML_TREE_MAP_MAX = 256           /* entries of one map */
};

enum yaml_kind { YAML_SCALAR, YAML_LIST, YAML_MAP };

struct yaml_node {
    enum yaml_kind kind;
    bool quoted;          /* a scalar in quotes */
    struct place at;      /* of its first character */
    struct place text_at; /* of text[0], if each byte of it is one column of that line; else line is 0 */
    const char *text;     /* a scalar's, valid UTF-8; "" for lists and maps */
    const char *key;      /* under which it stands in its map; NULL in a list and at the root */
    struct place key_at;
    uint32_t count;          /* children */
    struct yaml_node *first; /* children, in the file's order */
    struct yaml_node *next;  /* sibling */
};

struct yaml_tree;

enum { YAML_TREE_REFUSED = 1 };

/* Parses `length` bytes of UTF-8. 0: *tree is the caller's until yaml_tree_free(). YAML_TREE_REFUSED:
 * `complaints` has one more, and *tree is NULL, as it is for -ENOMEM. */
int yaml_tree_read(struct yaml_tree **tree, const char *bytes, size_t length, struct complaints *complaints);

/* The document's node, NULL if it holds nothing. */
const struct yaml_node *yaml_tree_root(const struct yaml_tree *tree);

/* The entry of a map, or NULL; also NULL if `map` is no map. */
const struct yaml_node *yaml_tree_entry(const struct yaml_node *map, const char *key);

void yaml_tree_free(struct yaml_tree **tree);

/* Reads a file for yaml_tree_read(): at most YAML_TREE_BYTES_MAX + 1 bytes, so that yaml_tree_read() sees
 * that it is too large. 0: the caller frees *bytes, NUL-terminated beyond `*length`. Else negative errno. */
int yaml_tree_load(const char *path, char **bytes, size_t *length);

#endif
