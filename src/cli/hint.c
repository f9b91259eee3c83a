#include "cli/hint.h"

#include "base/check.h"
#include "base/text.h"
#include "cli/show.h"

#include <string.h>

enum hint { HINT_APPROVE, HINT_NOW, HINT_RESUME, HINT_RESET, HINT_MAINTAIN, HINT_MODE };

static const struct {
    const char *reason;
    enum hint hint;
} hints[] = {{"approval", HINT_APPROVE}, {"uncorroborated", HINT_NOW},  {"flapping", HINT_NOW},
             {"attempts", HINT_NOW},     {"cooldown", HINT_NOW},        {"backoff", HINT_NOW},
             {"rate_target", HINT_NOW},  {"rate_rule", HINT_NOW},       {"rate_kind", HINT_NOW},
             {"rate_fleet", HINT_NOW},   {"paused", HINT_RESUME},       {"breaker", HINT_RESET},
             {"dry_run", HINT_MODE},     {"maintenance", HINT_MAINTAIN}};

static void say_hint(struct text *text, enum hint hint, long long incident, const char *node)
{
    const char *me = program_name();
    switch (hint) {
    case HINT_APPROVE:
        text_addf(text, "%s approve %lld lets it go ahead", me, incident);
        break;
    case HINT_NOW:
        text_addf(text, "%s approve %lld has it done now", me, incident);
        break;
    case HINT_RESUME:
        text_addf(text, "%s resume ends that", me);
        break;
    case HINT_RESET:
        text_addf(text, "look why, then %s reset", me);
        break;
    case HINT_MAINTAIN:
        text_addf(text, "%s maintain %s --end ends what a person began", me, *node ? node : "NODE");
        break;
    case HINT_MODE:
        text_add(text, "mode: auto in the policy ends that");
        break;
    }
}

const char *block_hint(const char *reason, long long incident, const char *node, char out[HINT_SIZE])
{
    struct text text = text_over(out, HINT_SIZE);
    for (size_t i = 0; i < COUNT_OF(hints); i++) {
        if (strcmp(hints[i].reason, reason) == 0)
            say_hint(&text, hints[i].hint, incident, node);
    }
    return out;
}

const char *paused_sentence(char out[HINT_SIZE])
{
    snprintf(out, HINT_SIZE, "automation is paused: nothing is done until '%s resume'", program_name());
    return out;
}

const char *breaker_sentence(char out[HINT_SIZE])
{
    snprintf(out, HINT_SIZE, "the breaker is open, too much of the fleet is ill: look why, then '%s reset'",
             program_name());
    return out;
}

void print_standing(const struct source *source)
{
    char sentence[HINT_SIZE];
    json_t *health = source_health(source);
    if (member_true(health, "paused"))
        printf("  %s%s%s\n", ink_on(stdout, INK_YELLOW), paused_sentence(sentence),
               ink_off(stdout, INK_YELLOW));
    if (member_true(health, "breaker_open"))
        printf("  %s%s%s\n", ink_on(stdout, INK_RED), breaker_sentence(sentence), ink_off(stdout, INK_RED));
    json_decref(health);
}
