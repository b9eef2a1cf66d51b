# sqlite3: a database in memory, filled, indexed, asked, changed and checked.
perform() {
    measured sqlite3 -batch :memory: <<SQL
create table article(id integer primary key, name text, price integer, note text);
with recursive c(x) as (select 1 union all select x + 1 from c where x < $((40000 * scale)))
    insert into article select x, hex(x * 7919 % 100003), x * 31 % 997, printf('%.*c', x % 120, 'n') from c;
create index by_name on article(name);
create index by_price on article(price, name);
select count(*), sum(length(name)), sum(length(note)) from article where price > 300;
select price, count(*), max(name), length(group_concat(substr(name, 1, 2)))
    from article group by price order by 2 desc, 1 limit 3;
select count(*) from article a join article b on a.name = b.name and a.id < b.id;
update article set note = note || 'changed' where price % 3 = 0;
delete from article where price % 7 = 1;
with recursive words(word, n) as (select 'a', 1 union all select word || n, n + 1 from words where n < 2000)
    select sum(length(word)), count(distinct substr(word, -3)) from words;
select json_group_array(json_object('id', id, 'name', name)) ->> '\$[17].name'
    from (select * from article limit $((10000 * scale)));
pragma integrity_check;
SQL
}
