//! Whether JSON is as a schema says: the part of JSON Schema (2020-12) that ours use, and nothing else, so that a keyword
//! nobody looks at fails. Stricter in one way: a key that the schema does not name is a mistake.

use serde_json::Value;

/// Panics with the place of the first thing that does not fit.
pub fn assert_valid(value: &Value, schema: &str) {
    let root: Value = serde_json::from_str(schema).unwrap();
    if let Err(wrong) = check(value, &root, &root, "$") {
        panic!("{wrong}\nin {value:#}");
    }
}

fn check(value: &Value, schema: &Value, root: &Value, at: &str) -> Result<(), String> {
    for (keyword, rule) in schema.as_object().unwrap() {
        let fits = match keyword.as_str() {
            "$schema" | "title" | "description" | "$defs" => true,
            // Taken together below.
            "required" | "items" => true,
            "$ref" => {
                let pointer = rule.as_str().unwrap().strip_prefix('#').unwrap();
                check(value, root.pointer(pointer).unwrap(), root, at)?;
                true
            }
            "anyOf" => {
                let tried: Vec<_> =
                    rule.as_array().unwrap().iter().map(|s| check(value, s, root, at)).collect();
                if tried.iter().all(Result::is_err) {
                    return Err(tried.into_iter().filter_map(Result::err).collect::<Vec<_>>().join("; or "));
                }
                true
            }
            "type" => match rule {
                Value::Array(types) => types.iter().any(|kind| is(value, kind.as_str().unwrap())),
                kind => is(value, kind.as_str().unwrap()),
            },
            "enum" => rule.as_array().unwrap().contains(value),
            "const" => rule == value,
            "minimum" => value.as_u64().is_none_or(|n| n >= rule.as_u64().unwrap()),
            "format" => value.as_str().is_none_or(|text| text.parse::<jiff::Timestamp>().is_ok()),
            "pattern" => value.as_str().is_none_or(|text| fits_pattern(text, rule.as_str().unwrap())),
            "properties" => {
                properties(value, rule, &schema["required"], root, at)?;
                true
            }
            other => panic!("the schema says `{other}`, which is not checked"),
        };
        if !fits {
            return Err(format!("{at} is {value}, which does not fit {keyword} {rule}"));
        }
    }
    if let (Value::Array(values), Some(items)) = (value, schema.get("items")) {
        for (index, value) in values.iter().enumerate() {
            check(value, items, root, &format!("{at}[{index}]"))?;
        }
    }
    Ok(())
}

fn properties(value: &Value, known: &Value, required: &Value, root: &Value, at: &str) -> Result<(), String> {
    let Value::Object(object) = value else { return Ok(()) };
    for (key, value) in object {
        let schema = known.get(key).ok_or(format!("{at}.{key} is not in the schema"))?;
        check(value, schema, root, &format!("{at}.{key}"))?;
    }
    let missing = required.as_array().unwrap().iter().find(|key| !object.contains_key(key.as_str().unwrap()));
    missing.map_or(Ok(()), |key| Err(format!("{at} has no {key}")))
}

fn is(value: &Value, kind: &str) -> bool {
    match kind {
        "null" => value.is_null(),
        "boolean" => value.is_boolean(),
        "integer" => value.is_u64() || value.is_i64(),
        "string" => value.is_string(),
        "array" => value.is_array(),
        "object" => value.is_object(),
        other => panic!("the schema names the type `{other}`"),
    }
}

fn fits_pattern(text: &str, pattern: &str) -> bool {
    let digits = match pattern {
        "^sha256:[0-9a-f]{64}$" => text.strip_prefix("sha256:"),
        "^[0-9a-f]{64}$" => Some(text),
        other => panic!("the schema has the pattern `{other}`"),
    };
    digits.is_some_and(|d| d.len() == 64 && d.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f')))
}
