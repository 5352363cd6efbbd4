-- Orders what identity says about one identifier. It lasts longer than a generation of the state:
-- those downstream compare versions across a switch.
CREATE SEQUENCE assignment_version;
