-- Macros, no table: values as GraphML text. What XML 1.0 cannot hold becomes U+FFFD; times are ISO 8601 in UTC.
create or replace temp macro xml_text(value) as
    replace(replace(replace(replace(
        regexp_replace(value, '[^\x{9}\x{A}\x{D}\x{20}-\x{D7FF}\x{E000}-\x{FFFD}\x{10000}-\x{10FFFF}]', chr(65533), 'g'),
        '&', '&amp;'), '<', '&lt;'), '>', '&gt;'), '"', '&quot;');

create or replace temp macro xml_data(key, value) as
    case when value is null then '' else '<data key="' || key || '">' || xml_text(value::varchar) || '</data>' end;

create or replace temp macro xml_time(value) as
    strftime(value at time zone 'UTC', '%Y-%m-%dT%H:%M:%S')
    || case when epoch_us(value) % 1_000_000 = 0 then '' else printf('.%06d', epoch_us(value) % 1_000_000) end
    || '+00:00';
