#include "lib/base/yaml.h"

#include <stdint.h>
#include <yaml.h>

static int
on_write(void *arg, unsigned char *data, size_t n)
{
	buf_add(arg, data, n);
	return 1;
}

static int
emit_scalar(yaml_emitter_t *emitter, const char *text)
{
	yaml_event_t event;

	return yaml_scalar_event_initialize(&event, NULL, NULL, (yaml_char_t *)text, -1, 1, 1,
		   YAML_PLAIN_SCALAR_STYLE) &&
	    yaml_emitter_emit(emitter, &event);
}

static int emit(yaml_emitter_t *emitter, const json_t *value);

static int
emit_object(yaml_emitter_t *emitter, const json_t *object)
{
	yaml_event_t event;
	const char *key;
	json_t *value;

	if (!yaml_mapping_start_event_initialize(&event, NULL, NULL, 1, YAML_BLOCK_MAPPING_STYLE) ||
	    !yaml_emitter_emit(emitter, &event))
		return 0;
	json_object_foreach((json_t *)object, key, value)
		if (!emit_scalar(emitter, key) || !emit(emitter, value))
			return 0;
	return yaml_mapping_end_event_initialize(&event) && yaml_emitter_emit(emitter, &event);
}

static int
emit_array(yaml_emitter_t *emitter, const json_t *array)
{
	yaml_event_t event;
	const json_t *value;
	size_t i;

	if (!yaml_sequence_start_event_initialize(&event, NULL, NULL, 1,
		YAML_BLOCK_SEQUENCE_STYLE) ||
	    !yaml_emitter_emit(emitter, &event))
		return 0;
	json_array_foreach(array, i, value)
		if (!emit(emitter, value))
			return 0;
	return yaml_sequence_end_event_initialize(&event) && yaml_emitter_emit(emitter, &event);
}

static int
emit(yaml_emitter_t *emitter, const json_t *value)
{
	AUTO_FREE char *text = NULL;

	if (json_is_object(value))
		return emit_object(emitter, value);
	if (json_is_array(value))
		return emit_array(emitter, value);
	text = json_is_string(value) ? xstrdup(json_string_value(value)) :
				       json_dumps(value, JSON_ENCODE_ANY);
	return emit_scalar(emitter, text);
}

static int
emit_document(yaml_emitter_t *emitter, const json_t *value)
{
	yaml_event_t event;

	return yaml_stream_start_event_initialize(&event, YAML_UTF8_ENCODING) &&
	    yaml_emitter_emit(emitter, &event) &&
	    yaml_document_start_event_initialize(&event, NULL, NULL, NULL, 1) &&
	    yaml_emitter_emit(emitter, &event) && emit(emitter, value) &&
	    yaml_document_end_event_initialize(&event, 1) && yaml_emitter_emit(emitter, &event) &&
	    yaml_stream_end_event_initialize(&event) && yaml_emitter_emit(emitter, &event);
}

int
yaml_render(const json_t *value, struct buf *out, struct err *e)
{
	yaml_emitter_t emitter;
	int good;

	if (!yaml_emitter_initialize(&emitter))
		return err_set(e, ERR_FAIL, "libyaml cannot be initialised");
	yaml_emitter_set_output(&emitter, on_write, out);
	yaml_emitter_set_width(&emitter, -1);
	yaml_emitter_set_unicode(&emitter, 1);
	good = emit_document(&emitter, value);
	if (!good)
		err_set(e, ERR_DATA, "YAML: %s", emitter.problem ? emitter.problem : "no reason");
	yaml_emitter_delete(&emitter);
	return good ? 0 : -1;
}
