-- Our side of each meeting: who organizes it or is invited and has not declined (N10). `inside`: their ids, sorted.
-- grain: meeting_key. inputs: meeting_people, persons.
select
    meeting_people.meeting_key,
    count(*) as people,
    list_sort(list(persons.name)) as inside
from meeting_people
inner join persons on persons.person = meeting_people.person
where meeting_people.is_us and meeting_people.answer <> 'declined'
group by meeting_people.meeting_key
