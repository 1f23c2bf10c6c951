{# Contract, section 4.2: replied ⇒ read ⇒ delivered ⇒ sent, none of them if the send was not sent, and `last_status` is the furthest step.
   A failing row makes the funnel wrong. #}
{% test flags_cumulative(model) %}

select session_start_id, is_not_sent, is_sent, is_delivered, is_read, is_replied, last_status
from {{ model }}
where
    (is_replied and not is_read)
    or (is_read and not is_delivered)
    or (is_delivered and not is_sent)
    or (is_not_sent and is_sent)
    or (message_id is null) <> (last_status is null)
    or last_status <> case
        when is_not_sent then 'not_sent'
        when is_replied then 'replied'
        when is_read then 'read'
        when is_delivered then 'delivered'
        when is_sent then 'sent'
        else 'pending'
    end

{% endtest %}
