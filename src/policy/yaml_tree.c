#include "policy/yaml_tree.h"

#include "base/check.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <yaml.h>

/* Nodes and texts live in blocks that are only ever freed together. */
struct block {
    struct block *next;
    size_t used, size;
    max_align_t bytes[];
};

enum { BLOCK_BYTES = 32 * 1024 };

struct yaml_tree {
    struct block *blocks;
    struct yaml_node *root;
    uint32_t nodes;
};

/* One map or list under construction. */
struct level {
    struct yaml_node *node;
    struct yaml_node *last; /* newest child */
    const char *key;        /* in a map: the key whose value comes next, else NULL */
    struct place key_at;
};

struct builder {
    struct yaml_tree *tree;
    struct complaints *complaints;
    struct level levels[YAML_TREE_DEPTH_MAX];
    uint32_t depth;
    uint32_t documents;
    bool done;
};

static void *yaml_tree_allocate(struct yaml_tree *tree, size_t size)
{
    size = (size + sizeof(max_align_t) - 1) / sizeof(max_align_t) * sizeof(max_align_t);
    struct block *block = tree->blocks;
    if (block == NULL || block->size - block->used < size) {
        size_t room = size > BLOCK_BYTES ? size : BLOCK_BYTES;
        block = malloc(sizeof *block + room);
        if (block == NULL) {
            return NULL;
        }
        *block = (struct block){.next = tree->blocks, .size = room};
        tree->blocks = block;
    }
    void *piece = (char *)block->bytes + block->used;
    block->used += size;
    return memset(piece, 0, size);
}

static const char *yaml_tree_keep(struct yaml_tree *tree, const yaml_char_t *bytes, size_t length)
{
    char *copy = yaml_tree_allocate(tree, length + 1);
    return copy == NULL ? NULL : memcpy(copy, bytes, length);
}

static struct place place_of(yaml_mark_t mark)
{
    return (struct place){.line = (int)mark.line + 1, .column = (int)mark.column + 1};
}

/* --- what libyaml complains about ----------------------------------------------------------------------- */

/* The reader counts bytes only. Positions within the first YAML_TREE_BYTES_MAX bytes fit an int. */
static struct place place_of_byte(const char *bytes, size_t length, size_t offset)
{
    struct place place = {.line = 1, .column = 1};
    for (size_t i = 0; i < offset && i < length; i++) {
        if (bytes[i] == '\n') {
            place.line++;
            place.column = 1;
        } else if (((unsigned char)bytes[i] & 0xC0) != 0x80) {
            place.column++;
        }
    }
    return place;
}

static const char *mend_of(const char *problem, char found)
{
    if (strcmp(problem, "found character that cannot start any token") == 0) {
        return found == '\t' ? "; indent with spaces, not with a tab" : "; put the text in quotes";
    }
    if (strcmp(problem, "found a tab character that violates indentation") == 0) {
        return "; indent with spaces";
    }
    if (strcmp(problem, "mapping values are not allowed in this context") == 0) {
        return "; check the indentation, or put a text that contains \": \" in quotes";
    }
    if (strcmp(problem, "did not find expected ',' or '}'") == 0) {
        return "; close the brace, or put a text that contains , { } [ or ] in quotes";
    }
    if (strcmp(problem, "did not find expected ',' or ']'") == 0) {
        return "; close the bracket";
    }
    if (strcmp(problem, "did not find expected alphabetic or numeric character") == 0) {
        return "; put a text that begins with * or & in quotes";
    }
    if (strcmp(problem, "could not find expected ':'") == 0 ||
        strcmp(problem, "did not find expected key") == 0 ||
        strcmp(problem, "did not find expected '-' indicator") == 0) {
        return "; check the indentation";
    }
    return "";
}

static int refuse_syntax(const yaml_parser_t *parser, const char *bytes, size_t length,
                         struct complaints *complaints)
{
    if (parser->error == YAML_MEMORY_ERROR) {
        return -ENOMEM;
    }
    const char *problem = parser->problem != NULL ? parser->problem : "cannot be read";
    if (parser->error == YAML_READER_ERROR) {
        complain(complaints, place_of_byte(bytes, length, parser->problem_offset), "not UTF-8 text: %s",
                 problem);
        return YAML_TREE_REFUSED;
    }
    size_t at = parser->problem_mark.index; /* in characters: exact for the usual case of ASCII up to there */
    char found = at < length ? bytes[at] : '\0';
    complain(complaints, place_of(parser->problem_mark), "not YAML: %s%s", problem, mend_of(problem, found));
    return YAML_TREE_REFUSED;
}

/* --- from events to nodes ------------------------------------------------------------------------------- */

static int refuse(struct builder *builder, struct place place, const char *text)
{
    complain(builder->complaints, place, "%s", text);
    return YAML_TREE_REFUSED;
}

static bool has_control_characters(const yaml_char_t *bytes, size_t length)
{
    for (size_t i = 0; i < length; i++) {
        if ((bytes[i] < 0x20 && bytes[i] != '\n' && bytes[i] != '\t') || bytes[i] == 0x7F) {
            return true;
        }
    }
    return false;
}

static int take_key(struct builder *builder, struct level *level, const yaml_event_t *event)
{
    struct place place = place_of(event->start_mark);
    if (event->type != YAML_SCALAR_EVENT) {
        return refuse(builder, place, "a key must be one word; put it in quotes if it is meant to be a text");
    }
    if (level->node->count == YAML_TREE_MAP_MAX) {
        return refuse(builder, place, "more than 256 keys in one map");
    }
    const char *key = yaml_tree_keep(builder->tree, event->data.scalar.value, event->data.scalar.length);
    if (key == NULL) {
        return -ENOMEM;
    }
    const struct yaml_node *twin = yaml_tree_entry(level->node, key);
    if (twin != NULL) {
        char shown[SHOWN_SIZE];
        complain(builder->complaints, place, "\"%s\" for the second time; the first is in line %d",
                 complaint_shown(shown, key), twin->key_at.line);
        return YAML_TREE_REFUSED;
    }
    level->key = key;
    level->key_at = place;
    return 0;
}

static int fill_scalar(struct builder *builder, struct yaml_node *node, const yaml_event_t *event)
{
    size_t length = event->data.scalar.length;
    yaml_scalar_style_t style = event->data.scalar.style;
    node->quoted = style != YAML_PLAIN_SCALAR_STYLE;
    node->text = yaml_tree_keep(builder->tree, event->data.scalar.value, length);
    if (node->text == NULL) {
        return -ENOMEM;
    }
    size_t quote = node->quoted ? 1 : 0;
    if (event->start_mark.line == event->end_mark.line &&
        event->end_mark.column - event->start_mark.column == length + 2 * quote) {
        node->text_at = (struct place){.line = node->at.line, .column = node->at.column + (int)quote};
    }
    return 0;
}

/* Makes the node of an event and hangs it under the innermost map or list. */
static int take_node(struct builder *builder, const yaml_event_t *event, enum yaml_kind kind)
{
    struct yaml_tree *tree = builder->tree;
    struct place place = place_of(event->start_mark);
    if (tree->nodes == YAML_TREE_NODES_MAX) {
        return refuse(builder, place, "more than 100,000 values in one file");
    }
    if (kind != YAML_SCALAR && builder->depth == YAML_TREE_DEPTH_MAX) {
        return refuse(builder, place, "more than 32 maps and lists within each other");
    }
    struct yaml_node *node = yaml_tree_allocate(tree, sizeof *node);
    if (node == NULL) {
        return -ENOMEM;
    }
    *node = (struct yaml_node){.kind = kind, .at = place, .text = ""};
    tree->nodes++;
    if (builder->depth == 0) {
        tree->root = node;
    } else {
        struct level *level = &builder->levels[builder->depth - 1];
        node->key = level->key;
        node->key_at = level->key_at;
        level->key = NULL;
        *(level->last != NULL ? &level->last->next : &level->node->first) = node;
        level->last = node;
        level->node->count++;
    }
    if (kind == YAML_SCALAR) {
        return fill_scalar(builder, node, event);
    }
    builder->levels[builder->depth++] = (struct level){.node = node};
    return 0;
}

static int take_content(struct builder *builder, const yaml_event_t *event)
{
    struct place place = place_of(event->start_mark);
    const yaml_char_t *anchor, *tag;
    enum yaml_kind kind;
    if (event->type == YAML_SCALAR_EVENT) {
        kind = YAML_SCALAR;
        anchor = event->data.scalar.anchor;
        tag = event->data.scalar.tag;
        if (has_control_characters(event->data.scalar.value, event->data.scalar.length)) {
            return refuse(builder, place, "a control character in the text");
        }
    } else if (event->type == YAML_SEQUENCE_START_EVENT) {
        kind = YAML_LIST;
        anchor = event->data.sequence_start.anchor;
        tag = event->data.sequence_start.tag;
    } else {
        kind = YAML_MAP;
        anchor = event->data.mapping_start.anchor;
        tag = event->data.mapping_start.tag;
    }
    if (anchor != NULL) {
        return refuse(builder, place,
                      "anchors (&) are not known here; write the value out, or put it in quotes");
    }
    if (tag != NULL) {
        return refuse(builder, place, "tags (!) are not known here; put the text in quotes");
    }
    struct level *level = builder->depth > 0 ? &builder->levels[builder->depth - 1] : NULL;
    if (level != NULL && level->node->kind == YAML_MAP && level->key == NULL) {
        return take_key(builder, level, event);
    }
    return take_node(builder, event, kind);
}

static int take_event(struct builder *builder, const yaml_event_t *event)
{
    struct place place = place_of(event->start_mark);
    switch (event->type) {
    case YAML_DOCUMENT_START_EVENT:
        if (builder->documents++ > 0) {
            return refuse(builder, place, "a second document; one file holds one");
        }
        return 0;
    case YAML_ALIAS_EVENT:
        return refuse(builder, place,
                      "aliases (*) are not known here; write the value out, or put it in quotes");
    case YAML_SCALAR_EVENT:
    case YAML_SEQUENCE_START_EVENT:
    case YAML_MAPPING_START_EVENT:
        return take_content(builder, event);
    case YAML_SEQUENCE_END_EVENT:
    case YAML_MAPPING_END_EVENT:
        CHECK(builder->depth > 0);
        builder->depth--;
        return 0;
    case YAML_STREAM_END_EVENT:
        builder->done = true;
        return 0;
    case YAML_NO_EVENT:
    case YAML_STREAM_START_EVENT:
    case YAML_DOCUMENT_END_EVENT:
        return 0;
    }
    return 0;
}

static int build(struct builder *builder, const char *bytes, size_t length)
{
    yaml_parser_t parser;
    if (!yaml_parser_initialize(&parser)) {
        return -ENOMEM;
    }
    yaml_parser_set_encoding(&parser,
                             YAML_UTF8_ENCODING); /* or a file that begins with FF FE would be UTF-16 */
    yaml_parser_set_input_string(&parser, (const unsigned char *)bytes, length);
    int result = 0;
    while (result == 0 && !builder->done) {
        yaml_event_t event;
        if (!yaml_parser_parse(&parser, &event)) {
            result = refuse_syntax(&parser, bytes, length, builder->complaints);
            break;
        }
        result = take_event(builder, &event);
        yaml_event_delete(&event);
    }
    yaml_parser_delete(&parser);
    return result;
}

int yaml_tree_read(struct yaml_tree **tree, const char *bytes, size_t length, struct complaints *complaints)
{
    *tree = NULL;
    if (length > YAML_TREE_BYTES_MAX) {
        complain(complaints, (struct place){1, 1}, "larger than 1 MiB");
        return YAML_TREE_REFUSED;
    }
    static const char byte_order_mark[] = "\xEF\xBB\xBF"; /* it would count as the first column */
    if (length >= 3 && memcmp(bytes, byte_order_mark, 3) == 0) {
        bytes += 3;
        length -= 3;
    }
    struct builder builder = {.complaints = complaints, .tree = calloc(1, sizeof *builder.tree)};
    if (builder.tree == NULL) {
        return -ENOMEM;
    }
    int result = build(&builder, bytes, length);
    if (result != 0) {
        yaml_tree_free(&builder.tree);
    }
    *tree = builder.tree;
    return result;
}

const struct yaml_node *yaml_tree_root(const struct yaml_tree *tree)
{
    return tree->root;
}

const struct yaml_node *yaml_tree_entry(const struct yaml_node *map, const char *key)
{
    if (map->kind != YAML_MAP) {
        return NULL;
    }
    for (const struct yaml_node *entry = map->first; entry != NULL; entry = entry->next) {
        if (strcmp(entry->key, key) == 0) {
            return entry;
        }
    }
    return NULL;
}

void yaml_tree_free(struct yaml_tree **tree)
{
    if (*tree == NULL) {
        return;
    }
    for (struct block *block = (*tree)->blocks, *next; block != NULL; block = next) {
        next = block->next;
        free(block);
    }
    free(*tree);
    *tree = NULL;
}

/* --- files ---------------------------------------------------------------------------------------------- */

/* Fills `bytes` up to `most`; the number of bytes, or negative errno. */
static ssize_t read_up_to(int file, char *bytes, size_t most)
{
    size_t length = 0;
    while (length < most) {
        ssize_t got = read(file, bytes + length, most - length);
        if (got < 0 && errno == EINTR) {
            continue;
        }
        if (got < 0) {
            return -errno;
        }
        if (got == 0) {
            break;
        }
        length += (size_t)got;
    }
    return (ssize_t)length;
}

int yaml_tree_load(const char *path, char **bytes, size_t *length)
{
    *bytes = NULL;
    *length = 0;
    int file = open(path, O_RDONLY | O_CLOEXEC);
    if (file < 0) {
        return -errno;
    }
    char *room = malloc(YAML_TREE_BYTES_MAX + 2);
    ssize_t got = room == NULL ? -ENOMEM : read_up_to(file, room, YAML_TREE_BYTES_MAX + 1);
    close(file);
    if (got < 0) {
        free(room);
        return (int)got;
    }
    room[got] = '\0';
    *bytes = room;
    *length = (size_t)got;
    return 0;
}
