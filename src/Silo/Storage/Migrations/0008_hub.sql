-- Which hub the database belongs to: one row, written at the first start.
CREATE TABLE hub (
  one bigint NOT NULL PRIMARY KEY CHECK (one = 1),
  id  text   NOT NULL
);
